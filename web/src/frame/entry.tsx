import { useRef, useState } from "react";
import { save } from "../api/save";
import type { Conversation } from "../api/types";
import { deleteConversation, leaveConversation, updateConversation } from "../state/conversations";
import { useChat } from "../state/chat";
import { tellError } from "../state/notices";
import { go, link } from "../state/router";
import { Confirm } from "./dialog";
import { Icon } from "./icons";
import { Menu, MenuItem } from "./menu";
import { onDemand } from "./on-demand";

const Share = onDemand(() => import("./share"));
const Attach = onDemand(() => import("./attach"));
const Move = onDemand(() => import("./move"));

type Doing = "rename" | "delete" | "share" | "attach" | "move";

interface OfEntry {
  conversation: Conversation;
  title: string;
  onDoing: (doing: Doing) => void;
}

/** What only the owner of a conversation does with it. */
function OwnersItems({ conversation, close, onDoing }: Pick<OfEntry, "conversation" | "onDoing"> & { close: () => void }) {
  const change = (changes: { pinned?: boolean; archived?: boolean; expires_after?: null }) =>
    updateConversation(conversation.id, changes).catch(tellError);
  return (
    <>
      <MenuItem onClick={() => (close(), void change({ pinned: !conversation.pinned }))}>
        <Icon name="pin" /> {conversation.pinned ? "Unpin" : "Pin"}
      </MenuItem>
      <MenuItem onClick={() => (close(), void change({ archived: !conversation.archived }))}>
        <Icon name="archive" /> {conversation.archived ? "Bring back" : "Archive"}
      </MenuItem>
      <MenuItem onClick={() => (close(), onDoing("move"))}>
        <Icon name="folder" /> Folder
      </MenuItem>
      {conversation.expires_at !== null && (
        <MenuItem onClick={() => (close(), void change({ expires_after: null }))}>
          <Icon name="check" /> Keep for good
        </MenuItem>
      )}
      <MenuItem onClick={() => (close(), onDoing("share"))}>
        <Icon name="user" /> Share
      </MenuItem>
      <MenuItem onClick={() => (close(), onDoing("attach"))}>
        <Icon name="file" /> Collections
      </MenuItem>
    </>
  );
}

function EntryMenu({ conversation, title, onDoing }: OfEntry) {
  const role = conversation.antiphon?.role ?? "owner";
  return (
    <Menu label={`More about ${title}`} trigger={<Icon name="more" />}>
      {(close) => (
        <>
          {role !== "viewer" && (
            <MenuItem onClick={() => (close(), onDoing("rename"))}>
              <Icon name="edit" /> Rename
            </MenuItem>
          )}
          {role === "owner" && <OwnersItems conversation={conversation} close={close} onDoing={onDoing} />}
          <MenuItem onClick={() => (close(), void save(`/v1/conversations/${conversation.id}/export?format=markdown`, `${title}.md`).catch(tellError))}>
            <Icon name="download" /> Download
          </MenuItem>
          <MenuItem danger onClick={() => (close(), onDoing("delete"))}>
            <Icon name="trash" /> {role === "owner" ? "Delete" : "Leave"}
          </MenuItem>
        </>
      )}
    </Menu>
  );
}

/** A conversation in the list, with what may be done with it. */
export function Entry({ conversation }: { conversation: Conversation }) {
  const open = useChat((chat) => chat.id === conversation.id);
  const [doing, setDoing] = useState<Doing | null>(null);
  const title = conversation.title || "Untitled";
  const role = conversation.antiphon?.role ?? "owner";
  if (doing === "rename") return <Rename conversation={conversation} onDone={() => setDoing(null)} />;
  return (
    <li className={open ? "entry open" : "entry"}>
      <a href={link("c", conversation.id)} aria-current={open ? "page" : undefined} title={title}>
        {title}
      </a>
      <EntryMenu conversation={conversation} title={title} onDoing={setDoing} />
      {doing === "share" && <Share id={conversation.id} title={title} onClose={() => setDoing(null)} />}
      {doing === "move" && <Move conversation={conversation} onClose={() => setDoing(null)} />}
      {doing === "attach" && <Attach id={conversation.id} onClose={() => setDoing(null)} />}
      {doing === "delete" && (
        <Confirm
          title={role === "owner" ? "Delete this conversation?" : "Leave this conversation?"}
          text={
            role === "owner"
              ? `“${title}” and all its branches will be gone.`
              : `“${title}” stays with ${conversation.antiphon?.owner}, who can let you in again.`
          }
          action={role === "owner" ? "Delete" : "Leave"}
          onClose={() => setDoing(null)}
          onConfirm={() => {
            (role === "owner" ? deleteConversation : leaveConversation)(conversation.id)
              .then(() => open && go(""))
              .catch(tellError);
          }}
        />
      )}
    </li>
  );
}

function Rename({ conversation, onDone }: { conversation: Conversation; onDone: () => void }) {
  const left = useRef(false);
  const keep = (form: HTMLFormElement) => {
    if (left.current) return;
    left.current = true;
    const title = String(new FormData(form).get("title")).trim();
    if (title && title !== conversation.title) updateConversation(conversation.id, { title }).catch(tellError);
    onDone();
  };
  return (
    <li className="entry">
      <form onSubmit={(event) => (event.preventDefault(), keep(event.currentTarget))} onBlur={(event) => keep(event.currentTarget)}>
        <input
          name="title"
          aria-label="New title"
          defaultValue={conversation.title ?? ""}
          maxLength={500}
          autoFocus
          onFocus={(event) => event.target.select()}
          onKeyDown={(event) => event.key === "Escape" && (event.preventDefault(), (left.current = true), onDone())}
        />
      </form>
    </li>
  );
}
