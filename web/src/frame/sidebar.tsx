import { lazy, Suspense, useState, type FormEvent } from "react";
import { save } from "../api/save";
import type { Conversation } from "../api/types";
import {
  deleteConversation,
  leaveConversation,
  readArchive,
  readConversations,
  updateConversation,
  useConversations,
} from "../state/conversations";
import { useChat } from "../state/chat";
import { tellError } from "../state/notices";
import { go, link } from "../state/router";
import { logOut, useSession } from "../state/session";
import { setTheme, useTheme } from "../state/theme";
import { Confirm } from "./dialog";
import { Icon } from "./icons";
import { Menu, MenuItem } from "./menu";

const Share = lazy(() => import("./share"));
const Attach = lazy(() => import("./attach"));

/** The conversations, newest first by the day, and what belongs to oneself. */
export function Sidebar({ onHide, covers }: { onHide: () => void; covers: boolean }) {
  return (
    <nav
      className="sidebar"
      aria-label="Conversations"
      onClick={(event) => covers && (event.target as Element).closest("a, .new-chat") && onHide()}
    >
      <header>
        <span className="brand">Antiphon</span>
        <button className="icon" aria-label="Hide conversations" onClick={onHide}>
          <Icon name="sidebar" />
        </button>
      </header>
      <button className="new-chat" onClick={() => go("")}>
        <Icon name="add" /> New chat
      </button>
      <a className="search-chats" href={link("search")}>
        <Icon name="search" /> Search
      </a>
      <List />
      <footer>
        <Oneself />
      </footer>
    </nav>
  );
}

function List() {
  const list = useConversations((state) => state.list);
  const hasMore = useConversations((state) => state.hasMore);
  const state = useConversations((state) => state.state);
  const archiveIsRead = useConversations((state) => state.archiveIsRead);
  const groups = grouped(list, archiveIsRead);
  return (
    <div className="conversations">
      {state === "read" && !list.length && <p className="empty">Nothing yet. What you ask will stand here.</p>}
      {groups.map(([day, ones]) => (
        <section key={day}>
          <h2>{day}</h2>
          <ul>
            {ones.map((one) => (
              <Entry key={one.id} conversation={one} />
            ))}
          </ul>
        </section>
      ))}
      {hasMore && (
        <button className="quiet more" disabled={state === "reading"} onClick={() => void readConversations(true)}>
          {state === "reading" ? "Reading…" : "Earlier ones"}
        </button>
      )}
      {state === "read" && !archiveIsRead && list.length > 0 && (
        <button className="quiet more" onClick={() => readArchive().catch(tellError)}>
          Archived ones
        </button>
      )}
    </div>
  );
}

/** Pinned ones first, then by the day of their last use, then those that others shared, then those put away. */
function grouped(list: Conversation[], withArchive: boolean): [string, Conversation[]][] {
  const of = (wanted: (one: Conversation) => boolean) => list.filter(wanted);
  const groups: [string, Conversation[]][] = [
    ["Pinned", of((one) => Boolean(one.pinned) && !one.archived)],
    ...byDay(of((one) => !one.pinned && !one.archived && !one.antiphon)),
    ["Shared with you", of((one) => Boolean(one.antiphon))],
    ["Archived", of((one) => withArchive && Boolean(one.archived))],
  ];
  return groups.filter(([, ones]) => ones.length);
}

function byDay(list: Conversation[]): [string, Conversation[]][] {
  const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
  const nameOf = (at: number): string => {
    if (at >= midnight) return "Today";
    if (at >= midnight - 86_400) return "Yesterday";
    if (at >= midnight - 7 * 86_400) return "This week";
    return new Date(at * 1000).toLocaleDateString(undefined, { month: "long", year: "numeric" });
  };
  const groups = new Map<string, Conversation[]>();
  for (const one of [...list].sort((one, other) => other.updated_at - one.updated_at)) {
    const day = nameOf(one.updated_at);
    groups.set(day, [...(groups.get(day) ?? []), one]);
  }
  return [...groups];
}

type Doing = "rename" | "delete" | "share" | "attach";

interface OfEntry {
  conversation: Conversation;
  title: string;
  onDoing: (doing: Doing) => void;
}

function EntryMenu({ conversation, title, onDoing }: OfEntry) {
  const role = conversation.antiphon?.role ?? "owner";
  const change = (changes: { pinned?: boolean; archived?: boolean; expires_after?: null }) =>
    updateConversation(conversation.id, changes).catch(tellError);
  return (
    <Menu label={`More about ${title}`} trigger={<Icon name="more" />}>
      {(close) => (
        <>
          {role !== "viewer" && (
            <MenuItem onClick={() => (close(), onDoing("rename"))}>
              <Icon name="edit" /> Rename
            </MenuItem>
          )}
          {role === "owner" && (
            <>
              <MenuItem onClick={() => (close(), void change({ pinned: !conversation.pinned }))}>
                <Icon name="pin" /> {conversation.pinned ? "Unpin" : "Pin"}
              </MenuItem>
              <MenuItem onClick={() => (close(), void change({ archived: !conversation.archived }))}>
                <Icon name="archive" /> {conversation.archived ? "Bring back" : "Archive"}
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
          )}
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

function Entry({ conversation }: { conversation: Conversation }) {
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
      <Suspense>
        {doing === "share" && <Share id={conversation.id} title={title} onClose={() => setDoing(null)} />}
        {doing === "attach" && <Attach id={conversation.id} onClose={() => setDoing(null)} />}
      </Suspense>
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
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const title = String(new FormData(event.currentTarget).get("title")).trim();
    if (title && title !== conversation.title) updateConversation(conversation.id, { title }).catch(tellError);
    onDone();
  };
  return (
    <li className="entry">
      <form onSubmit={submit} onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && onDone()}>
        <input
          name="title"
          aria-label="New title"
          defaultValue={conversation.title ?? ""}
          maxLength={500}
          autoFocus
          onFocus={(event) => event.target.select()}
          onKeyDown={(event) => event.key === "Escape" && (event.preventDefault(), onDone())}
        />
      </form>
    </li>
  );
}

function Oneself() {
  const me = useSession((session) => session.me);
  const local = useSession((session) => session.open);
  const theme = useTheme();
  const name = local ? "This computer" : (me?.name ?? "");
  const next = theme === "system" ? "light" : theme === "light" ? "dark" : "system";
  return (
    <>
      <Menu
        label={`${name}: account and settings`}
        className="oneself"
        align="start"
        trigger={
          <>
            <Icon name="user" />
            <span>{name}</span>
          </>
        }
      >
        {(close) => (
          <>
            <MenuItem onClick={() => (close(), go("collections"))}>
              <Icon name="file" /> Collections
            </MenuItem>
            <MenuItem onClick={() => (close(), go("settings"))}>
              <Icon name="gear" /> Settings
            </MenuItem>
            {me?.role === "admin" && (
              <MenuItem onClick={() => (close(), go("admin"))}>
                <Icon name="tool" /> Administration
              </MenuItem>
            )}
            <MenuItem onClick={() => (close(), go("keyboard"))}>
              <Icon name="keys" /> Keyboard
            </MenuItem>
            {!local && (
              <MenuItem onClick={() => (close(), void logOut().catch(tellError))}>
                <Icon name="out" /> Log out
              </MenuItem>
            )}
          </>
        )}
      </Menu>
      <button className="icon" aria-label={`Colours: ${theme}. Change to ${next}`} onClick={() => setTheme(next)}>
        <Icon name={theme === "dark" ? "moon" : theme === "light" ? "sun" : "contrast"} />
      </button>
    </>
  );
}
