import { useEffect, useState } from "react";
import { useChat } from "../state/chat";
import { readFolder, useConversations, type Folder } from "../state/conversations";
import { tellError } from "../state/notices";
import { Entry } from "./entry";
import { Icon } from "./icons";

/** One's folders by their names; what is in one is read when it is opened, and the open chat's is open. */
export function Folders() {
  const folders = useConversations((state) => state.folders);
  return folders.map((one) => <OneFolder key={one.name} folder={one} />);
}

function OneFolder({ folder: { name, conversations } }: { folder: Folder }) {
  const list = useConversations((state) => state.list);
  const cursor = useConversations((state) => state.cursors[name]);
  const shown = useChat((chat) => chat.id);
  const [chosen, choose] = useState<boolean | null>(null);
  const within = list.filter((one) => one.folder === name && !one.archived && !one.pinned);
  within.sort((one, other) => other.updated_at - one.updated_at);
  const open = chosen ?? within.some((one) => one.id === shown);
  useEffect(() => {
    if (open && cursor === undefined) readFolder(name).catch(tellError);
  }, [open, cursor, name]);
  return (
    <section>
      <h2>
        <button className="folder" aria-expanded={open} onClick={() => choose(!open)}>
          <Icon name="folder" /> <span>{name}</span> <small>{conversations}</small>
        </button>
      </h2>
      {open && (
        <ul>
          {within.map((one) => (
            <Entry key={one.id} conversation={one} />
          ))}
        </ul>
      )}
      {open && cursor && (
        <button className="quiet more" onClick={() => readFolder(name).catch(tellError)}>
          Earlier ones
        </button>
      )}
    </section>
  );
}
