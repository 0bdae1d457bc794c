import { useState, type FormEvent } from "react";
import type { Branch } from "../../api/types";
import { Confirm } from "../../frame/dialog";
import { Icon } from "../../frame/icons";
import { Menu, MenuItem } from "../../frame/menu";
import { useChat } from "../../state/chat";
import { tellError } from "../../state/notices";
import { deleteBranch, goToBranch, nameBranch } from "../../state/places";
import { go } from "../../state/router";

/** Every branch by name: go there, rename, compare with the one shown, delete. */
export function Branches({ mayWrite }: { mayWrite: boolean }) {
  const branches = useChat((chat) => chat.branches);
  const shown = useChat((chat) => chat.branchId);
  return (
    <ul className="branches" aria-label="Branches">
      {branches.map((branch) => (
        <Line key={branch.id} branch={branch} shown={shown} mayWrite={mayWrite} />
      ))}
    </ul>
  );
}

type Doing = "rename" | "delete";

interface OfBranch {
  id: string;
  branch: Branch;
  shown: string | null;
  mayWrite: boolean;
  onDoing: (doing: Doing) => void;
}

function BranchMenu({ id, branch, shown, mayWrite, onDoing }: OfBranch) {
  return (
    <Menu label={`More about ${branch.name}`} trigger={<Icon name="more" />}>
      {(close) => (
        <>
          {branch.id !== shown && shown && (
            <MenuItem onClick={() => (close(), go("c", id, "compare", shown, branch.id))}>
              <Icon name="columns" /> Compare with the one shown
            </MenuItem>
          )}
          {mayWrite && (
            <MenuItem onClick={() => (close(), onDoing("rename"))}>
              <Icon name="edit" /> Rename
            </MenuItem>
          )}
          {mayWrite && !branch.active && (
            <MenuItem danger onClick={() => (close(), onDoing("delete"))}>
              <Icon name="trash" /> Delete
            </MenuItem>
          )}
          {branch.active && <p className="menu-note">The active branch cannot be deleted.</p>}
        </>
      )}
    </Menu>
  );
}

function Line({ branch, shown, mayWrite }: { branch: Branch; shown: string | null; mayWrite: boolean }) {
  const id = useChat((chat) => chat.id)!;
  const [doing, setDoing] = useState<Doing | null>(null);
  const isShown = branch.id === shown;
  const alias = branch.alias_of;
  if (doing === "rename") return <Rename branch={branch} onDone={() => setDoing(null)} />;
  return (
    <li className={isShown ? "branch-line open" : "branch-line"}>
      <button
        className="branch-name"
        aria-current={isShown ? "true" : undefined}
        onClick={() => (alias ? go("c", alias) : goToBranch(branch.id).catch(tellError))}
      >
        <Icon name={alias ? "out" : "branch"} />
        <span className="words">{branch.name}</span>
        <span className="forks">{alias ? "another chat" : `${branch.item_count} messages`}</span>
      </button>
      {!alias && <BranchMenu id={id} branch={branch} shown={shown} mayWrite={mayWrite} onDoing={setDoing} />}
      {doing === "delete" && (
        <Confirm
          title="Delete this branch?"
          text={`“${branch.name}” will be gone. Messages that other branches hold stay.`}
          action="Delete"
          onClose={() => setDoing(null)}
          onConfirm={() => deleteBranch(branch.id).catch(tellError)}
        />
      )}
    </li>
  );
}

function Rename({ branch, onDone }: { branch: Branch; onDone: () => void }) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget).get("name")).trim();
    if (name && name !== branch.name) nameBranch(branch.id, name).catch(tellError);
    onDone();
  };
  return (
    <li className="branch-line">
      <form className="rename" onSubmit={submit} onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && onDone()}>
        <input
          name="name"
          aria-label="New name of the branch"
          defaultValue={branch.name}
          maxLength={200}
          autoFocus
          onFocus={(event) => event.target.select()}
          onKeyDown={(event) => event.key === "Escape" && (event.preventDefault(), event.stopPropagation(), onDone())}
        />
      </form>
    </li>
  );
}
