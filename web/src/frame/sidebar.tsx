import { useState, type FormEvent } from "react";
import type { Conversation } from "../api/types";
import {
  deleteConversation,
  readConversations,
  renameConversation,
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
  const groups = byDay(list);
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
    </div>
  );
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
  for (const one of list) {
    const day = nameOf(one.created_at);
    groups.set(day, [...(groups.get(day) ?? []), one]);
  }
  return [...groups];
}

function Entry({ conversation }: { conversation: Conversation }) {
  const open = useChat((chat) => chat.id === conversation.id);
  const [doing, setDoing] = useState<"rename" | "delete" | null>(null);
  const title = conversation.title || "Untitled";
  if (doing === "rename") return <Rename conversation={conversation} onDone={() => setDoing(null)} />;
  return (
    <li className={open ? "entry open" : "entry"}>
      <a href={link("c", conversation.id)} aria-current={open ? "page" : undefined} title={title}>
        {title}
      </a>
      <Menu label={`More about ${title}`} trigger={<Icon name="more" />}>
        {(close) => (
          <>
            <MenuItem onClick={() => (close(), setDoing("rename"))}>
              <Icon name="edit" /> Rename
            </MenuItem>
            <MenuItem danger onClick={() => (close(), setDoing("delete"))}>
              <Icon name="trash" /> Delete
            </MenuItem>
          </>
        )}
      </Menu>
      {doing === "delete" && (
        <Confirm
          title="Delete this conversation?"
          text={`“${title}” and all its branches will be gone.`}
          action="Delete"
          onClose={() => setDoing(null)}
          onConfirm={() => {
            deleteConversation(conversation.id)
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
    if (title && title !== conversation.title) renameConversation(conversation.id, title).catch(tellError);
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
            <MenuItem onClick={() => (close(), go("keyboard"))}>Keyboard</MenuItem>
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
