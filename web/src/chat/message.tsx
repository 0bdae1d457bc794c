import {
  ActionBarPrimitive,
  BranchPickerPrimitive,
  ComposerPrimitive,
  MessagePrimitive,
  useAuiState,
} from "@assistant-ui/react";
import { useMemo, useState, type ReactNode } from "react";
import type { Part } from "../api/types";
import { Icon } from "../frame/icons";
import { onDemand } from "../frame/on-demand";
import { Menu, MenuItem } from "../frame/menu";
import { copyText } from "../markdown/markdown";
import { regenerate } from "../state/asking";
import { chat, goTo, isViewer, useChat, useTurn } from "../state/chat";
import { isRest, restOf, whole } from "../state/joining";
import { costOf, MANY, modelsLike, money, shortName, useModels } from "../state/models";
import { tell, tellError } from "../state/notices";
import { useShallow } from "../state/store";
import { answerIn, isRunning, textOf, type Turn } from "../state/turns";
import { Answer } from "./answer";
import { AttachmentChip } from "./composer";
import { leave } from "./in-place";
import { InlinePicture, StoredPicture } from "./pictures";
import { useAuthor } from "./presence";
import { Rate } from "./rating";
import { useCanSpeak } from "./speech";

const Trace = onDemand(() => import("./trace"));

function useMessageTurn(): Turn | undefined {
  return useTurn(useAuiState((state) => state.message.id));
}

/** What a person said. */
export function SaidMessage() {
  const turn = useMessageTurn();
  const author = useAuthor(turn?.authorId ?? null);
  if (!turn || turn.stub) return <Waiting />;
  const messages = turn.items.filter((item) => item.type === "message");
  return (
    <MessagePrimitive.Root className="message said">
      <h2 className={author ? "author" : "off-screen"}>{author ?? "You"}</h2>
      <div className="bubble">
        {messages.flatMap(({ id, content }) =>
          (content ?? []).map((part, index) => <SaidPart key={`${messages.length > 1 ? id : ""}${index}`} part={part} itemId={id} />),
        )}
      </div>
      <div className="actions">
        <Siblings />
        <CopyButton turn={turn} />
        <EditButton label="Edit" />
      </div>
    </MessagePrimitive.Root>
  );
}

function EditButton({ label }: { label: string }) {
  return (
    <ActionBarPrimitive.Edit className="icon" aria-label={label}>
      <Icon name="edit" />
    </ActionBarPrimitive.Edit>
  );
}

/** One part of what was said: words, a picture, or the name of a file. */
export function SaidPart({ part, itemId }: { part: Part; itemId: string }) {
  if (part.antiphon || part.type === "input_file") {
    return (
      <span className="chip">
        <Icon name="file" />
        <span className="chip-name">{part.antiphon?.filename ?? part.filename ?? "File"}</span>
      </span>
    );
  }
  if (part.type === "input_image") return part.file_id ? <StoredPicture id={part.file_id} itemId={itemId} /> : <InlinePicture url={part.image_url ?? ""} />;
  return (
    <p className="plain" dir="auto">
      {part.text ?? part.refusal}
    </p>
  );
}

export function SystemMessage() {
  const turn = useMessageTurn();
  return (
    <MessagePrimitive.Root className="message system">
      <details>
        <summary>Instructions</summary>
        <p className="plain">{turn ? textOf(turn) : ""}</p>
      </details>
    </MessagePrimitive.Root>
  );
}

/** What a model answered; several models' answers stand side by side until one is chosen. */
export function AnswerMessage() {
  const turn = useMessageTurn();
  const fan = useFan(turn?.id);
  const rest = useRest(turn);
  const goesOnBefore = useChat((chat) => turn !== undefined && isRest(chat.path, chat.turns, turn.id));
  const shown = useMemo(() => turn && whole([turn, ...rest]), [turn, rest]);
  if (!turn || !shown || turn.stub) return <Waiting />;
  if (fan) return <Fan ids={fan} shown={turn.id} />;
  if (goesOnBefore) return <RestMessage turn={turn} />;
  return (
    <MessagePrimitive.Root className="message answer">
      <h2 className="off-screen">{turn.model ? shortName(turn.model) : "Answer"}</h2>
      <Answer turn={shown} />
      <div className="actions">
        <Siblings />
        {!rest.length && <AnswerActions turn={turn} canEdit />}
      </div>
    </MessagePrimitive.Root>
  );
}

/** What goes on with an answer that was cut off. */
function useRest(turn: Turn | undefined): Turn[] {
  return useChat(useShallow((chat) => (turn ? restOf(chat.path, chat.turns, turn.id) : [])));
}

/** The rest of an answer that was cut off: its text stands with the answer's, here is what can be done with it. */
function RestMessage({ turn }: { turn: Turn }) {
  return (
    <MessagePrimitive.Root className="message rest">
      <div className="actions">
        <Siblings />
        <AnswerActions turn={turn} />
      </div>
    </MessagePrimitive.Root>
  );
}

/** An answer from its beginning, if this is the rest of one. */
function fromItsBeginning(turn: Turn): Turn {
  const { path, turns } = chat.getState();
  let at = path.indexOf(turn.id);
  if (at < 0) return turn;
  const parts = [turn];
  while (isRest(path, turns, path[at]!)) parts.unshift(turns[path[--at]!]!);
  return whole(parts);
}

function useFan(id: string | undefined): string[] | null {
  return useChat((chat) => {
    if (!id) return null;
    return Object.values(chat.fans).find((ids) => ids.includes(id)) ?? null;
  });
}

function Fan({ ids, shown }: { ids: string[]; shown: string }) {
  return (
    <MessagePrimitive.Root className="message fan">
      <h2 className="off-screen">Answers side by side</h2>
      {ids.map((id) => (
        <FanColumn key={id} id={id} shown={id === shown} />
      ))}
    </MessagePrimitive.Root>
  );
}

function FanColumn({ id, shown }: { id: string; shown: boolean }) {
  const turn = useTurn(id);
  const rest = useRest(turn);
  if (!turn || turn.stub) return null;
  return (
    <section className={shown ? "fan-column chosen" : "fan-column"} aria-label={turn.model ?? "Answer"}>
      <h3>{turn.model ? shortName(turn.model) : "…"}</h3>
      <Answer turn={whole([turn, ...rest])} />
      <div className="actions">
        {!isRunning(turn) && !shown && turn.items.length > 0 && (
          <button className="quiet small" onClick={() => goTo(id).catch(tellError)}>
            Go on from this one
          </button>
        )}
        {shown && !isRunning(turn) && <span className="fan-note">the conversation goes on from here</span>}
        <AnswerActions turn={turn} />
      </div>
    </section>
  );
}

function AnswerActions({ turn, canEdit = false }: { turn: Turn; canEdit?: boolean }) {
  const [tracing, setTracing] = useState(false);
  if (isRunning(turn)) return null;
  const searched = turn.items.some(
    (item) => item.type === "file_search_call" || item.content?.some((part) => part.annotations?.length),
  );
  return (
    <>
      <CopyButton turn={turn} />
      {canEdit && answerIn(turn) && (
        <>
          <EditButton label="Edit answer" />
          <Aloud />
        </>
      )}
      <Rate turn={turn} />
      {searched && (
        <button className="icon" aria-label="How the sources were found" onClick={() => setTracing(true)}>
          <Icon name="search" />
        </button>
      )}
      <Again turn={turn} />
      <Spent turn={turn} />
      {tracing && (
        <Trace responseId={turn.id} onClose={() => setTracing(false)} />
      )}
    </>
  );
}

/** Reading an answer aloud, where this computer has a voice. */
function Aloud() {
  const canSpeak = useCanSpeak();
  const speaking = useAuiState((state) => state.message.speech !== undefined);
  if (!canSpeak) return null;
  if (speaking) {
    return (
      <ActionBarPrimitive.StopSpeaking className="icon" aria-label="Stop reading aloud">
        <Icon name="stop" />
      </ActionBarPrimitive.StopSpeaking>
    );
  }
  return (
    <ActionBarPrimitive.Speak className="icon" aria-label="Read aloud">
      <Icon name="speak" />
    </ActionBarPrimitive.Speak>
  );
}

/** Answering again, by the same model or another. */
function Again({ turn }: { turn: Turn }) {
  const list = useModels((state) => state.list);
  if (useChat(isViewer)) return null;
  return (
    <Menu label="Answer again" trigger={<Icon name="retry" />} search={list.length > MANY && "Find a model"}>
      {(close, sought) => (
        <>
          {!sought && <MenuItem onClick={() => (close(), void regenerate(turn.id))}>Try again</MenuItem>}
          {modelsLike(list, sought)
            .filter((one) => one.id !== turn.model)
            .map((one) => (
              <MenuItem key={one.id} onClick={() => (close(), void regenerate(turn.id, one.id))}>
                With {shortName(one.id)}
              </MenuItem>
            ))}
        </>
      )}
    </Menu>
  );
}

/** Who answered, with how many tokens and for how much, from its beginning. */
function Spent({ turn: last }: { turn: Turn }) {
  const turn = fromItsBeginning(last);
  const price = useModels((state) => state.list.find((one) => one.id === turn.model)?.antiphon?.price);
  const parts: ReactNode[] = [];
  if (turn.model) parts.push(shortName(turn.model));
  if (turn.usage) {
    parts.push(`${turn.usage.input_tokens} → ${turn.usage.output_tokens} tokens`);
    const cost = costOf(price, turn.usage);
    if (cost !== null) parts.push(`$${money(cost)}`);
  }
  return <span className="spent">{parts.join(" · ")}</span>;
}

function CopyButton({ turn }: { turn: Turn }) {
  return (
    <button
      className="icon"
      aria-label="Copy"
      onClick={() => void copyText(textOf(fromItsBeginning(turn))).then((done) => tell(done ? "Copied." : "It could not be copied."))}
    >
      <Icon name="copy" />
    </button>
  );
}

/** ‹ 2/3 › */
function Siblings() {
  return (
    <BranchPickerPrimitive.Root hideWhenSingleBranch className="siblings" onClickCapture={(event) => leave(event.target as Element)}>
      <BranchPickerPrimitive.Previous className="icon small" aria-label="Previous alternative">
        <Icon name="back" />
      </BranchPickerPrimitive.Previous>
      <span className="siblings-count">
        <BranchPickerPrimitive.Number />/<BranchPickerPrimitive.Count />
      </span>
      <BranchPickerPrimitive.Next className="icon small" aria-label="Next alternative">
        <Icon name="forward" />
      </BranchPickerPrimitive.Next>
    </BranchPickerPrimitive.Root>
  );
}

export function EditMessage() {
  return <Editing className="said" label="Edit the message" action="Ask this instead" />;
}

export function EditAnswer() {
  return <Editing className="answer" label="Edit the answer" action="Save beside it" />;
}

function Editing({ className, label, action }: { className: string; label: string; action: string }) {
  return (
    <MessagePrimitive.Root className={`message ${className} editing`}>
      <ComposerPrimitive.Root className="composer edit">
        <div className="attachments">
          <ComposerPrimitive.Attachments components={{ Attachment: AttachmentChip }} />
        </div>
        <ComposerPrimitive.Input className="composer-input" aria-label={label} dir="auto" autoFocus />
        <div className="composer-bar">
          <span className="space" />
          <ComposerPrimitive.Cancel className="quiet">Cancel</ComposerPrimitive.Cancel>
          <ComposerPrimitive.Send className="primary">{action}</ComposerPrimitive.Send>
        </div>
      </ComposerPrimitive.Root>
    </MessagePrimitive.Root>
  );
}

function Waiting() {
  return (
    <MessagePrimitive.Root className="message answer">
      <Dots />
    </MessagePrimitive.Root>
  );
}

export function Dots() {
  return (
    <span className="dots" role="img" aria-label="Waiting">
      <i />
      <i />
      <i />
    </span>
  );
}
