import { ComposerPrimitive, ThreadPrimitive, useAuiState } from "@assistant-ui/react";
import { useEffect, useLayoutEffect, useRef } from "react";
import { Icon } from "../frame/icons";
import { openAgain, readEarlier, useChat } from "../state/chat";
import { useKeepsPlace } from "../state/keeping";
import { onlyOffline, useModels } from "../state/models";
import { tellError } from "../state/notices";
import { setTemporary, useTemporary } from "../state/temporary";
import { Composer } from "./composer";
import { Presence } from "./presence";
import { AnswerMessage, EditAnswer, EditMessage, SaidMessage, SystemMessage } from "./message";

const components = {
  UserMessage: SaidMessage,
  AssistantMessage: AnswerMessage,
  SystemMessage,
  UserEditComposer: EditMessage,
  AssistantEditComposer: EditAnswer,
};

/** The conversation itself: what was said, and where one says more. */
export function Thread() {
  const empty = useChat((chat) => chat.path.length === 0 && chat.state === "read");
  const busy = useChat((chat) => chat.busy > 0);
  const keepsPlace = useKeepsPlace();
  const failed = useChat((chat) => (chat.state === "failed" ? chat.problem : null));
  if (failed) {
    return (
      <div className="thread gate">
        <h1>This conversation cannot be shown</h1>
        <p role="alert">{failed}</p>
        <button className="primary" onClick={openAgain}>
          Try again
        </button>
      </div>
    );
  }
  return (
    <ThreadPrimitive.Root className="thread" data-busy={busy || undefined}>
      <ComposerPrimitive.AttachmentDropzone className="dropzone">
        <ThreadPrimitive.Viewport className={empty ? "viewport fresh" : "viewport"} autoScroll={!keepsPlace} scrollToBottomOnRunStart={false /* others ask, too */}>
          {empty ? (
            <Welcome />
          ) : (
            <div className="messages" role="log" aria-label="Conversation" aria-live="off">
              <Earlier />
              <ThreadPrimitive.Messages components={components} />
            </div>
          )}
          <ThreadPrimitive.ViewportFooter className="footer">
            <ThreadPrimitive.ScrollToBottom className="to-bottom" aria-label="Go to the newest message" behavior="instant">
              <Icon name="down" />
            </ThreadPrimitive.ScrollToBottom>
            <Presence />
            <Composer />
          </ThreadPrimitive.ViewportFooter>
        </ThreadPrimitive.Viewport>
        <div className="drop-hint" aria-hidden="true">
          Drop files to attach them
        </div>
      </ComposerPrimitive.AttachmentDropzone>
      <Announcer />
    </ThreadPrimitive.Root>
  );
}

/** Reads what was said before as soon as one scrolls there, and keeps the place. */
function Earlier() {
  const hasEarlier = useChat((chat) => chat.hasEarlier);
  const first = useChat((chat) => chat.path[0]);
  const mark = useRef<HTMLDivElement>(null);
  const height = useRef(0);
  useEffect(() => {
    const element = mark.current;
    if (!hasEarlier || !element) return;
    const viewport = element.closest<HTMLElement>(".viewport");
    const watch = new IntersectionObserver(
      ([entry]) => {
        if (!entry?.isIntersecting) return;
        // Measured only then: meanwhile an answer may grow below.
        readEarlier(() => (height.current = viewport?.scrollHeight ?? 0)).catch(tellError);
      },
      { root: viewport, rootMargin: "600px 0px 0px 0px" },
    );
    watch.observe(element);
    return () => watch.disconnect();
  }, [hasEarlier, first]);
  useLayoutEffect(() => {
    const viewport = mark.current?.closest<HTMLElement>(".viewport");
    if (!viewport || !height.current) return;
    viewport.scrollTop += viewport.scrollHeight - height.current;
    height.current = 0;
  }, [first]);
  if (!hasEarlier) return null;
  return (
    <div className="earlier" ref={mark}>
      Reading earlier messages…
    </div>
  );
}

function Welcome() {
  const offline = useModels(onlyOffline);
  const fresh = useChat((chat) => chat.id === null);
  const temporary = useTemporary();
  return (
    <div className="welcome">
      <h2>What is on your mind?</h2>
      {offline ? (
        <p className="first-run">
          Answers come from the built-in offline model, which only quotes what was said and what your files say. To
          connect a real one, set <code>GROQ_API_KEY</code>, <code>OPENAI_API_KEY</code> or <code>OLLAMA_BASE_URL</code>{" "}
          and restart the server.
        </p>
      ) : (
        <p>Ask anything, drop files to have them read, or choose several models to see their answers side by side.</p>
      )}
      {fresh && (
        <label className="temporary">
          <input type="checkbox" checked={temporary} onChange={(event) => setTemporary(event.target.checked)} />
          Forget this chat after a day
        </label>
      )}
    </div>
  );
}

/** Says to screen readers when an answer begins and when it is done: not every word of it. */
function Announcer() {
  const isRunning = useAuiState((state) => state.thread.isRunning);
  const was = useRef(false);
  const text = useRef("");
  if (isRunning !== was.current) {
    text.current = isRunning ? "The answer is being written." : "The answer is done.";
    was.current = isRunning;
  }
  return (
    <div className="off-screen" role="status">
      {text.current}
    </div>
  );
}
