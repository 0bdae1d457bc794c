/** Saying something: new questions, edits, other answers, several models at once, and stopping. */

import { call, newKey, send } from "../api/client";
import { begin, follow, isEnd, type Following } from "../api/stream";
import type { Conversation, Part, Response, RunEvent } from "../api/types";
import { adopt, busily, chat, onOpened, open, readTree, reread, running, whileOpen, type Chat } from "./chat";
import { noteConversation } from "./conversations";
import { take } from "./documents";
import { moveDraft } from "./drafts";
import { nextFrame } from "./frames";
import { readManner } from "./manner";
import { models } from "./models";
import { tellError } from "./notices";
import { replace } from "./router";
import { newConversation } from "./temporary";
import { after, answerIn, emptyTurn, isRunning, type Turn } from "./turns";

const TITLE = 60;
const TITLE_TRIES = 2;
const TITLE_MILLISECONDS = 1000;
const LOCAL = "local:";
const INCLUDE = ["file_search_call.results"];
let count = 0;

function localId(): string {
  return `${LOCAL}${++count}`;
}

/** Asks a question at the end of what is shown, of every chosen model. */
export async function ask(parts: Part[], chosen: string[] = models.getState().chosen): Promise<void> {
  const said = userTurn(parts);
  const answers = (chosen.length ? chosen : [null]).map(answerTurn);
  const before = chat.getState().path;
  put([...before, said.id, answers[0]!.id], [said, ...answers]);
  if (answers.length > 1) fan(said.id, answers);
  try {
    const id = await conversation(parts);
    await take(id, parts, whileOpen());
    const input = [{ type: "message", role: "user", content: parts }];
    const common = { input, stream: true, background: true, include: INCLUDE };
    if (answers.length > 1) {
      const body = { ...common, models: chosen };
      await run(`/v1/conversations/${id}/fan_out`, body, answers, said);
    } else {
      const branch_id = chat.getState().branchId;
      const body = { ...common, conversation: id, model: chosen[0], ...(branch_id ? { antiphon: { branch_id } } : {}) };
      await run("/v1/responses", body, answers, said);
    }
  } catch (error) {
    failed(answers, error);
  }
}

/** Says something else in the place of what was said, and has it answered. */
export async function edit(turnId: string, parts: Part[]): Promise<void> {
  const { id, path, turns } = chat.getState();
  const old = turns[turnId];
  if (id === null || !old) return;
  const attached = old.items.flatMap((item) => item.content ?? []).filter((part) => part.image_url || part.file_id || part.antiphon);
  parts = [...attached, ...parts];
  if (isLocal(old)) return askAgain(turnId, parts);
  const said = userTurn(parts);
  const answer = answerTurn(models.getState().chosen[0] ?? null);
  const before = path.slice(0, path.indexOf(turnId));
  putBeside(turnId, said.id);
  put([...before, said.id, answer.id], [said, answer]);
  const body = { content: parts, model: answer.model, stream: true, background: true, include: INCLUDE };
  try {
    await run(`/v1/conversations/${id}/items/${old.items[0]!.id}/edit`, body, [answer], said);
  } catch (error) {
    failed([answer], error);
  }
}

/** Puts other words in the place of an answer; nobody is asked. */
export async function rewrite(turnId: string, parts: Part[]): Promise<void> {
  const { id, turns } = chat.getState();
  const item = answerIn(turns[turnId]);
  const content = parts.map((part) => part.text ?? "").join("\n\n");
  if (id === null || !item || !content) return;
  await busily(async () => {
    await call(`/v1/conversations/${id}/items/${item.id}/edit`, { body: { content, respond: false }, idempotencyKey: newKey() });
    const { active_branch_id } = await call<Conversation>(`/v1/conversations/${id}`);
    await reread(active_branch_id);
    await readTree();
  });
}

/** Answers again, by the same model or another. */
export async function regenerate(turnId: string, model: string | null = null): Promise<void> {
  const { id, path, turns } = chat.getState();
  const old = turns[turnId];
  const at = path.indexOf(turnId);
  if (id === null || !old || at < 0) return;
  const asked = turns[path[at - 1] ?? ""];
  if (asked && isLocal(asked)) return askAgain(asked.id, asked.items.flatMap((one) => one.content ?? []), model);
  const item = old.items[0]?.id ?? asked?.items.at(-1)?.id;
  if (!item) return;
  const answer = answerTurn(model ?? old.model);
  putBeside(turnId, answer.id);
  put([...path.slice(0, at), answer.id], [answer]);
  const body = { model: answer.model, stream: true, background: true, include: INCLUDE };
  try {
    await run(`/v1/conversations/${id}/items/${item}/regenerate`, body, [answer], null);
  } catch (error) {
    failed([answer], error);
  }
}

/** Has an answer that was cut off go on where it stopped. */
export async function goOn(turnId: string): Promise<void> {
  const { id, path, turns, branchId } = chat.getState();
  const old = turns[turnId];
  if (id === null || !old || path.at(-1) !== turnId) return;
  const answer = answerTurn(old.model);
  answer.continues = true;
  put([...path, answer.id], [answer]);
  const antiphon = { continues: true, ...(branchId ? { branch_id: branchId } : {}) };
  const body = { conversation: id, model: old.model, stream: true, background: true, include: INCLUDE, antiphon };
  try {
    await run("/v1/responses", body, [answer], null);
  } catch (error) {
    failed([answer], error);
  }
}

/** Whether the server never took a turn in. */
function isLocal(turn: Turn): boolean {
  return turn.id.startsWith(LOCAL);
}

/** Asks once more what never reached the server. */
function askAgain(turnId: string, parts: Part[], model: string | null = null): Promise<void> {
  chat.setState(({ path }) => ({ path: path.slice(0, path.indexOf(turnId)) }));
  return ask(parts, model ? [model] : undefined);
}

/** Stops every answer being made in the open conversation; what was said so far is kept. */
export async function stop(): Promise<void> {
  const asked = running().filter((turn) => turn.id.startsWith("resp_"));
  await Promise.all(asked.map((turn) => send(`/v1/responses/${turn.id}/cancel`, { method: "POST" }).catch(tellError)));
}

// --- how turns come onto the screen before the server has them

function userTurn(parts: Part[]): Turn {
  const items = [{ id: localId(), type: "message", role: "user" as const, content: parts }];
  return emptyTurn(items[0]!.id, "user", { items });
}

function answerTurn(model: string | null): Turn {
  return emptyTurn(localId(), "assistant", { model, status: "queued" });
}

function put(path: string[], turns: Turn[]): void {
  chat.setState((now) => ({
    path,
    turns: { ...now.turns, ...Object.fromEntries(turns.map((turn) => [turn.id, turn])) },
  }));
}

function putBeside(old: string, fresh: string): void {
  chat.setState((now) => {
    const all = [...(now.beside[old] ?? [old]), fresh];
    return { beside: { ...now.beside, [old]: all, [fresh]: all } };
  });
}

function fan(saidId: string, answers: Turn[]): void {
  const ids = answers.map((turn) => turn.id);
  chat.setState((now) => ({
    fans: { ...now.fans, [saidId]: ids },
    beside: { ...now.beside, [ids[0]!]: ids },
  }));
}

function renamed(now: Chat, old: string, fresh: string): Partial<Chat> {
  if (old === fresh) return {};
  const swap = (ids: string[]) => ids.map((one) => (one === old ? fresh : one));
  const lists = (all: Record<string, string[]>) =>
    Object.fromEntries(Object.entries(all).map(([key, ids]) => [key === old ? fresh : key, swap(ids)]));
  const { [old]: turn, ...turns } = now.turns;
  if (turn) turns[fresh] = { ...turn, id: fresh };
  return { turns, path: swap(now.path), beside: lists(now.beside), fans: lists(now.fans) };
}

function failed(answers: Turn[], error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  chat.setState((now) => {
    const turns = { ...now.turns };
    for (const { id } of answers) {
      const turn = turns[id];
      if (turn) turns[id] = { ...turn, status: "failed", error: { code: "not_sent", message } };
    }
    return { turns };
  });
}

async function conversation(parts: Part[]): Promise<string> {
  const { id } = chat.getState();
  if (id !== null) return id;
  const made = await call<Conversation>("/v1/conversations", { body: newConversation(), idempotencyKey: newKey() });
  adopt({ ...made, title: titleOf(parts) }); // until the server has made one, in the background
  moveDraft(made.id);
  replace("c", made.id);
  return made.id;
}

function titleOf(parts: Part[]): string {
  const text = parts.find((part) => part.text && !part.antiphon)?.text ?? parts[0]?.antiphon?.filename ?? "New chat";
  const line = text.trim().split("\n")[0]!.replace(/[#*`>|\s]+/g, " ").trim();
  if (line.length <= TITLE) return line;
  const cut = line.slice(0, TITLE);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), TITLE / 2))}…`;
}

// --- answers being made

/** Where the events of some answers go: each answer takes the place of one that waits for it. */
class Receiving implements Following {
  readonly signal = whileOpen();
  private readonly places = new Map<string, string>();
  private readonly drafts = new Map<string, Turn>();

  constructor(
    private readonly waiting: string[],
    private readonly said: Turn | null,
  ) {}

  onEvent = (event: RunEvent): void => {
    const id = event.response_id ?? event.response?.id;
    if (!id) return;
    if (!this.places.has(id)) this.arrive(id, event.response);
    const draft = this.drafts.get(id) ?? chat.getState().turns[id];
    if (!draft) return;
    this.drafts.set(id, after({ ...draft, lost: false }, event));
    if (isEnd(event)) this.publish();
    else nextFrame(this.publish);
  };

  onLost = (lost: boolean): void => {
    chat.setState((now) => {
      const ids = [...this.places.keys(), ...this.waiting].filter((id) => {
        const turn = now.turns[id];
        return turn && turn.lost !== lost && isRunning(turn);
      });
      if (!ids.length) return now;
      return { turns: { ...now.turns, ...Object.fromEntries(ids.map((id) => [id, { ...now.turns[id]!, lost }])) } };
    });
    for (const [id, draft] of this.drafts) this.drafts.set(id, { ...draft, lost });
  };

  private arrive(id: string, response: Response | undefined): void {
    const index = response ? this.waiting.findIndex((one) => chat.getState().turns[one]?.model === response.model) : 0;
    const [place] = this.waiting.splice(Math.max(index, 0), 1);
    this.places.set(id, place ?? id);
    chat.setState((now) => {
      let next: Chat = { ...now, ...(place ? renamed(now, place, id) : {}) };
      const input = response?.antiphon?.input_item_ids;
      if (this.said && input?.length && next.turns[this.said.id]) {
        next = { ...next, ...renamed(next, this.said.id, input[0]!) };
        const turn = next.turns[input[0]!]!;
        next.turns[turn.id] = { ...turn, items: turn.items.map((item, at) => ({ ...item, id: input[at] ?? item.id })) };
      }
      if (response?.antiphon?.branch_id && next.path.includes(id)) next.branchId = response.antiphon.branch_id;
      return next;
    });
  }

  private publish = (): void => {
    if (this.signal.aborted || !this.drafts.size) return;
    const drafts = Object.fromEntries(this.drafts);
    for (const [id, draft] of this.drafts) if (!isRunning(draft)) this.drafts.delete(id);
    chat.setState((now) => ({ turns: { ...now.turns, ...drafts } }));
  };
}

function run(path: string, body: object, answers: Turn[], said: Turn | null): Promise<void> {
  return busily(() => answered(path, body, answers, said));
}

async function answered(path: string, body: object, answers: Turn[], said: Turn | null): Promise<void> {
  const receiving = new Receiving(answers.map((turn) => turn.id), said);
  await begin(path, { body: { ...(await readManner()), ...body }, idempotencyKey: newKey() }, receiving, answers.length);
  if (receiving.signal.aborted) return;
  await settle();
}

/** After an answer the tree has grown: read how. */
async function settle(): Promise<void> {
  const { id, path, turns, hasEarlier } = chat.getState();
  if (id === null || running().length) return;
  const last = turns[path.at(-1) ?? ""];
  try {
    // What failed without a word is in no branch's path: it stays on the screen until one goes elsewhere.
    await readTree();
    if (last && last.items.length && !hasEarlier) await reread();
    else if (last?.items.length) await rereadTail();
    await readTitle(id, TITLE_TRIES);
  } catch (error) {
    tellError(error);
  }
}

/** With a window of a long conversation, what was read before stays where it is. */
async function rereadTail(): Promise<void> {
  const before = chat.getState();
  await reread();
  const now = chat.getState();
  const first = now.path[0];
  const at = first ? before.path.indexOf(first) : -1;
  if (at <= 0) return;
  const kept = before.path.slice(0, at);
  chat.setState({
    path: [...kept, ...now.path],
    turns: { ...Object.fromEntries(kept.map((id) => [id, before.turns[id]!])), ...now.turns },
    hasEarlier: before.hasEarlier,
  });
}

/** Reads the conversation until it has a title: the server makes it in the background, after the first answer. */
async function readTitle(id: string, tries: number): Promise<void> {
  const read = await call<Conversation>(`/v1/conversations/${id}`);
  const shown = chat.getState().conversation;
  if (shown?.id !== id) return;
  const conversation = { ...read, title: read.title ?? shown.title };
  chat.setState({ conversation });
  noteConversation(conversation);
  if (read.title === null && tries > 0) {
    setTimeout(() => void readTitle(id, tries - 1).catch(() => undefined), TITLE_MILLISECONDS);
  }
}

// --- answers that were being made when the conversation was opened

onOpened((state) => {
  for (const branch of state.branches) {
    const id = branch.running_response_id;
    // Those of other branches are read when one goes there.
    if (id && branch.id === state.branchId) busily(() => attend(id)).catch(tellError);
  }
});

/** Shows an answer that is being made at the end of what is shown, below what was asked (and by whom). */
export async function attend(id: string, authorId: string | null = null): Promise<void> {
  const signal = whileOpen();
  const response = await call<Response>(`/v1/responses/${id}`);
  if (signal.aborted) return;
  const input = await call<{ data: Turn["items"] }>(`/v1/responses/${id}/input_items`, { query: { order: "asc" } });
  if (signal.aborted) return;
  const path = chat.getState().path.filter((one) => one !== id);
  const said = input.data[0];
  const turns: Turn[] = [];
  if (said && !path.includes(said.id)) {
    turns.push(emptyTurn(said.id, "user", { items: input.data, at: response.created_at, authorId }));
  }
  turns.push(emptyTurn(id, "assistant", { model: response.model, status: "in_progress", at: response.created_at }));
  put([...path, ...turns.map((turn) => turn.id)], turns);
  const receiving = new Receiving([], null);
  await follow(id, -1, {
    signal,
    onLost: receiving.onLost,
    onEvent: (event) => receiving.onEvent({ ...event, response_id: id }),
  });
  if (!signal.aborted) await settle();
}

export { open };
