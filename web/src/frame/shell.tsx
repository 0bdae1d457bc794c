import { Suspense, useEffect, useState } from "react";
import { ChatRuntime } from "../chat/runtime";
import { Thread } from "../chat/thread";
import { stop } from "../state/asking";
import { beginNew } from "../state/beginning";
import { open, openNew, running, useChat } from "../state/chat";
import { keepLive } from "../state/live";
import { keepRenewing } from "../state/renewing";
import { useConversations } from "../state/conversations";
import { go, useRoute } from "../state/router";
import { moment } from "../views/parts";
import { views } from "../views/registry";
import { Icon } from "./icons";
import { Sidebar } from "./sidebar";
import { Boundary } from "./boundary";

const NARROW = "(max-width: 760px)";

/** The frame: conversations at the left, the chat or a view, and what stands beside the chat. */
export function Shell() {
  const [shown, setShown] = useState(() => !matchMedia(NARROW).matches);
  useEffect(keepLive, []);
  useEffect(keepRenewing, []);
  useShortcuts(() => setShown((now) => !now));
  const view = useRoute((route) => route.view);
  const rest = useRoute((route) => route.rest);
  const opening = useChat((chat) => chat.opening);
  const id = view === "c" ? rest[0] : undefined;
  const named = views[view === "c" ? (rest[1] ?? "") : view];

  useEffect(() => {
    if (id) void open(id);
    else if (view === "") openNew();
  }, [view, id]);

  return (
    <div className={shown ? "shell with-sidebar" : "shell"}>
      <a className="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById("main")?.focus())}>
        Skip to the conversation
      </a>
      {shown && <Sidebar covers={matchMedia(NARROW).matches} onHide={() => setShown(false)} />}
      {shown && <div className="scrim" onClick={() => setShown(false)} />}
      <main id="main" tabIndex={-1}>
        <TopBar shown={shown} onShow={() => setShown(true)} title={named?.place === "page" ? named.title : null} />
        <Boundary key={named?.place === "page" ? view + (rest[0] ?? "") : `chat ${opening}`}>
          {named?.place === "page" ? (
            <Suspense fallback={<p className="view">Loading…</p>}>
              <named.component rest={rest} />
            </Suspense>
          ) : (
            <div className="chat-and-beside">
              <ChatRuntime>
                <Thread />
              </ChatRuntime>
              {named?.place === "beside" && (
                <aside className="beside" aria-label={named.title}>
                  <Suspense fallback={<p className="view">Loading…</p>}>
                    <named.component rest={rest} />
                  </Suspense>
                </aside>
              )}
            </div>
          )}
        </Boundary>
      </main>
    </div>
  );
}

function TopBar({ shown, onShow, title }: { shown: boolean; onShow: () => void; title: string | null }) {
  const id = useChat((chat) => chat.id);
  const read = useChat((chat) => chat.conversation?.title);
  const listed = useConversations((state) => state.list.find((one) => one.id === id)?.title);
  const expires = useChat((chat) => chat.conversation?.expires_at);
  const beside = useRoute((route) => (route.view === "c" ? route.rest[1] : undefined));
  const heading = title ?? listed ?? read ?? (id ? "Untitled" : "New chat");
  useEffect(() => {
    document.title = heading === "New chat" ? "Antiphon" : `${heading} – Antiphon`;
  }, [heading]);
  return (
    <header className="top">
      {!shown && (
        <button className="icon" aria-label="Show conversations" onClick={onShow}>
          <Icon name="sidebar" />
        </button>
      )}
      <h1 className="top-title">{heading}</h1>
      {title === null && expires && <span className="ends">forgotten on {moment(expires)}</span>}
      {id && title === null && (
        <button
          className="icon"
          aria-label="Tree"
          aria-pressed={beside === "tree"}
          onClick={() => (beside === "tree" ? go("c", id) : go("c", id, "tree"))}
        >
          <Icon name="tree" />
        </button>
      )}
      <button className="icon" aria-label="New chat" onClick={beginNew}>
        <Icon name="add" />
      </button>
    </header>
  );
}

function useShortcuts(toggle: () => void): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const command = event.ctrlKey || event.metaKey;
      const typing = (event.target as HTMLElement).matches?.("input, textarea, select, [contenteditable]");
      const key = event.key.toLowerCase();
      if (command && event.shiftKey && key === "o") beginNew();
      else if (command && event.shiftKey && key === "s") toggle();
      else if (command && key === "/") go("keyboard");
      else if (command && !event.shiftKey && key === "k") go("search");
      else if (key === "/" && !typing && !command) document.querySelector<HTMLElement>(".footer .composer-input")?.focus();
      else if (key === "escape" && !event.defaultPrevented && running().length && !document.querySelector("dialog[open]")) void stop();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  });
}
