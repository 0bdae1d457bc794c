import { Icon } from "../frame/icons";
import { Menu, MenuItem } from "../frame/menu";
import { chooseModels, MOST_AT_ONCE, shortName, useModels } from "../state/models";

/** Which model answers next. Several can be ticked: each answers, side by side. */
export function ModelPicker() {
  const list = useModels((state) => state.list);
  const chosen = useModels((state) => state.chosen);
  if (!list.length) return null;
  const shown = chosen.length === 1 ? shortName(chosen[0]!) : `${chosen.length} models`;
  const tick = (id: string) => {
    if (!chosen.includes(id)) chooseModels([...chosen, id].slice(-MOST_AT_ONCE));
    else if (chosen.length > 1) chooseModels(chosen.filter((one) => one !== id));
  };
  return (
    <Menu
      label={`Model: ${shown}`}
      className="model-button"
      align="start"
      trigger={
        <>
          <span>{shown}</span>
          <Icon name="down" />
        </>
      }
    >
      {(close) => (
        <>
          {list.map((one) => (
            <div className="model-row" role="presentation" key={one.id}>
              <button
                role="menuitemradio"
                aria-checked={chosen.length === 1 && chosen[0] === one.id}
                tabIndex={-1}
                className="menu-item"
                onClick={() => {
                  chooseModels([one.id]);
                  close();
                }}
              >
                <span className="model-name">{shortName(one.id)}</span>
                <span className="model-owner">{one.owned_by}</span>
              </button>
              {list.length > 1 && (
                <MenuItem checked={chosen.includes(one.id)} onClick={() => tick(one.id)}>
                  <span className="off-screen">Ask {shortName(one.id)} beside the others</span>
                  <Icon name={chosen.includes(one.id) ? "check" : "add"} />
                </MenuItem>
              )}
            </div>
          ))}
          {list.length > 1 && (
            <p className="menu-note" role="presentation">
              Tick several to compare their answers.
            </p>
          )}
        </>
      )}
    </Menu>
  );
}
