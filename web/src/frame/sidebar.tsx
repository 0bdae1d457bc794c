import type { Conversation } from "../api/types";
import { beginNew } from "../state/beginning";
import { readArchive, readConversations, useConversations } from "../state/conversations";
import { tellError } from "../state/notices";
import { go, link } from "../state/router";
import { logOut, useSession } from "../state/session";
import { setTheme, useTheme } from "../state/theme";
import { Entry } from "./entry";
import { Folders } from "./folders";
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
      <button className="new-chat" onClick={beginNew}>
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
  const problem = useConversations((state) => state.problem);
  const groups = grouped(list, archiveIsRead);
  return (
    <div className="conversations">
      {problem && <Unread problem={problem} />}
      {state === "read" && !list.length && <p className="empty">Nothing yet. What you ask will stand here.</p>}
      <Group title="Pinned" list={list.filter((one) => Boolean(one.pinned) && !one.archived)} />
      <Folders />
      {groups.map(([day, ones]) => (
        <Group key={day} title={day} list={ones} />
      ))}
      {hasMore && (
        <button className="quiet more" disabled={state === "reading"} onClick={() => void readConversations(true)}>
          {state === "reading" ? "Reading…" : "Earlier ones"}
        </button>
      )}
      {state === "read" && !archiveIsRead && (
        <button className="quiet more" onClick={() => readArchive().catch(tellError)}>
          Archived ones
        </button>
      )}
    </div>
  );
}

/** Says that the list is not there, and why. */
function Unread({ problem }: { problem: string }) {
  return (
    <div className="empty">
      <p role="alert">Your chats could not be read. {problem}</p>
      <button className="quiet" onClick={() => void readConversations()}>
        Try again
      </button>
    </div>
  );
}

function Group({ title, list }: { title: string; list: Conversation[] }) {
  if (!list.length) return null;
  return (
    <section>
      <h2>{title}</h2>
      <ul>
        {list.map((one) => (
          <Entry key={one.id} conversation={one} />
        ))}
      </ul>
    </section>
  );
}

/** Those in no folder by the day of their last use, then those that others shared, then those put away. */
function grouped(list: Conversation[], withArchive: boolean): [string, Conversation[]][] {
  const of = (wanted: (one: Conversation) => boolean) => list.filter(wanted);
  const groups: [string, Conversation[]][] = [
    ...byDay(of((one) => !one.pinned && !one.archived && !one.folder && !one.antiphon)),
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
