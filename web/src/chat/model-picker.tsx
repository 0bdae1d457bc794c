import { useEffect } from "react";
import { Icon } from "../frame/icons";
import { Menu, MenuItem } from "../frame/menu";
import { chooseModels, MANY, modelsLike, MOST_AT_ONCE, readModels, shortName, useModels } from "../state/models";

/** Which model answers next. Several can be ticked: each answers, side by side. */
export function ModelPicker() {
  const list = useModels((state) => state.list);
  const chosen = useModels((state) => state.chosen);
  if (!list.length) return null;
  const shown = chosen.length === 1 ? shortName(chosen[0]!) : `${chosen.length} models`;
  return (
    <Menu
      label={`Model: ${shown}`}
      className="model-button"
      align="start"
      search={list.length > MANY && "Find a model"}
      trigger={
        <>
          <span>{shown}</span>
          <Icon name="down" />
        </>
      }
    >
      {(close, sought) => {
        const found = modelsLike(list, sought);
        const note = found.length ? "Tick several to compare their answers." : "No model is called that.";
        return (
          <>
            <Renewed />
            {found.map((one) => (
              <ModelRow key={one.id} model={one} chosen={chosen} isOnly={list.length === 1} close={close} />
            ))}
            {list.length > 1 && (
              <p className="menu-note" role="presentation">
                {note}
              </p>
            )}
          </>
        );
      }}
    </Menu>
  );
}

/** Reads the models again when the list is opened: administrators add and remove some. */
function Renewed() {
  useEffect(() => void readModels().catch(() => undefined), []);
  return null;
}

interface Row {
  model: { id: string; owned_by: string };
  chosen: string[];
  isOnly: boolean;
  close: () => void;
}

function ModelRow({ model, chosen, isOnly, close }: Row) {
  const ticked = chosen.includes(model.id);
  const tick = () => {
    if (!ticked) chooseModels([...chosen, model.id].slice(-MOST_AT_ONCE));
    else if (chosen.length > 1) chooseModels(chosen.filter((one) => one !== model.id));
  };
  return (
    <div className="model-row" role="presentation">
      <button
        role="menuitemradio"
        aria-checked={chosen.length === 1 && ticked}
        tabIndex={-1}
        className="menu-item"
        onClick={() => (chooseModels([model.id]), close())}
      >
        <span className="model-name">{shortName(model.id)}</span>
        <span className="model-owner">{model.owned_by}</span>
      </button>
      {!isOnly && (
        <MenuItem checked={ticked} onClick={tick}>
          <span className="off-screen">Ask {shortName(model.id)} beside the others</span>
          <Icon name={ticked ? "check" : "add"} />
        </MenuItem>
      )}
    </div>
  );
}
