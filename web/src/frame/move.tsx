import type { FormEvent } from "react";
import type { Conversation } from "../api/types";
import { updateConversation, useConversations } from "../state/conversations";
import { tellError } from "../state/notices";
import { Dialog, Submit } from "./dialog";

/** Asks for the folder of a conversation: one that is there, or a new one by its name. */
export default function Move({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const folders = useConversations((state) => state.folders);
  const move = (folder: string | null) => {
    updateConversation(conversation.id, { folder }).catch(tellError);
    onClose();
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    move(String(new FormData(event.currentTarget).get("folder")).trim() || null);
  };
  return (
    <Dialog title="Move to a folder" onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <label>
          Folder
          <input name="folder" list="folders" required maxLength={100} data-first autoComplete="off" defaultValue={conversation.folder ?? ""} />
        </label>
        <datalist id="folders">
          {folders.map((one) => (
            <option key={one.name} value={one.name} />
          ))}
        </datalist>
        {conversation.folder && (
          <button type="button" className="quiet" onClick={() => move(null)}>
            Take it out of “{conversation.folder}”
          </button>
        )}
        <Submit onClose={onClose}>Move</Submit>
      </form>
    </Dialog>
  );
}
