/** Saying something: new questions, edits, other answers, several models at once, and stopping. */

import { ApiError, call, messageOf, newKey, send } from "../api/client";
import { begin, follow, persist } from "../api/stream";
import type { Conversation, Part, Response } from "../api/types";
import { unmake } from "./beginning";
import { busily, chat, onOpened, open, readTree, reread, running, standing, whileOpen } from "./chat";
import { isGivenUp, noteConversation } from "./conversations";
import { take } from "./documents";
import { fileOf } from "./drafts";
import { readManner } from "./manner";
import { models, readModels } from "./models";
import { tellError } from "./notices";
import { answerTurn, fan, isLocal, put, putBeside, Receiving, userTurn } from "./receiving";
import { answerIn, emptyTurn, isEmptyEnding, type Turn } from "./turns";
import { forgetRefused, stopUnsent, Unsent } from "./unsent";

const TITLE_TRIES = 2;
const TITLE_MILLISECONDS = 1000;
const INCLUDE = ["file_search_call.results"];

/** Asks a question at the end of what is shown, of every chosen model. */
export async function ask(parts: Part[], chosen: string[] = models.getState().chosen): Promise<void> {
  const said = userTurn(parts);
  const answers = (chosen.length ? chosen : [null]).map(answerTurn);
  const question = new Unsent([said, ...answers], parts);
  put([...standing(), said.id, answers[0]!.id], [said, ...answers]);
  if (answers.length > 1) fan(said.id, answers);
  await asking(question, async () => {
    const id = question.conversationId ?? (await question.make(parts));
    if (!(await taken(id, parts, question))) return;
    const input = [{ type: "message", role: "user", content: parts }];
    const common = { input, stream: true, background: true, include: INCLUDE };
    if (answers.length > 1) {
      const body = { ...common, models: chosen };
      await run(`/v1/conversations/${id}/fan_out`, body, answers, said, question);
    } else {
      const { branchId } = question;
      const body = { ...common, conversation: id, model: chosen[0], ...(branchId ? { antiphon: { branch_id: branchId } } : {}) };
      await run("/v1/responses", body, answers, said, question);
    }
  });
}

/** Whether the documents of a question could be read; if not, it comes back to where one writes, and nothing is asked. */
async function taken(id: string, parts: Part[], question: Unsent): Promise<boolean> {
  try {
    await question.prepare(() => take(id, parts, question.signal));
    return true;
  } catch (error) {
    if (!question.signal.aborted) tellError(error);
    question.takeBack();
    return false;
  }
}

/** Does what asks a question; of one that was refused the page says why. */
async function asking(question: Unsent, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    question.refuse(messageOf(error));
    if (error instanceof ApiError && error.code === "model_not_found") readModels().catch(tellError);
  } finally {
    question.done();
    if (question.made) unmake(question.made).catch(tellError);
  }
}

/** Says something else in the place of what was said, and has it answered. */
export async function edit(turnId: string, parts: Part[]): Promise<void> {
  const { id, path, turns } = chat.getState();
  const old = turns[turnId];
  if (old && isLocal(old)) return askAgain(turnId, parts);
  if (id === null || !old) return;
  const said = userTurn(parts);
  const answer = answerTurn(models.getState().chosen[0] ?? null);
  const before = path.slice(0, path.indexOf(turnId));
  const question = new Unsent([said, answer], parts);
  putBeside(turnId, said.id);
  put([...before, said.id, answer.id], [said, answer]);
  const body = { content: parts, model: answer.model, stream: true, background: true, include: INCLUDE };
  const known = new Set(old.items.flatMap((item) => item.content ?? []).map(fileOf));
  const added = parts.filter((part) => !known.has(fileOf(part)));
  await asking(question, async () => {
    if (!(await taken(id, added, question))) return;
    await run(`/v1/conversations/${id}/items/${old.items[0]!.id}/edit`, body, [answer], said, question);
  });
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
  if (old?.continues && isEmptyEnding(old)) return goOn(turnId, model ?? old.model);
  const at = placeOf(turnId);
  if (!old || at < 0) return;
  const asked = turns[path[at - 1] ?? ""];
  if (asked && isLocal(asked)) return askAgain(asked.id, asked.items.flatMap((one) => one.content ?? []), model);
  const item = old.items[0]?.id ?? asked?.items.at(-1)?.id;
  if (id === null || !item) return;
  const answer = answerTurn(model ?? old.model);
  const question = new Unsent([answer]);
  putBeside(path[at] ?? turnId, answer.id);
  put([...path.slice(0, at), answer.id], [answer]);
  const body = { model: answer.model, stream: true, background: true, include: INCLUDE };
  await asking(question, () => run(`/v1/conversations/${id}/items/${item}/regenerate`, body, [answer], null, question));
}

/** Where a turn stands on the path, or would if it were the chosen one of those side by side. */
function placeOf(turnId: string): number {
  const { path, fans } = chat.getState();
  const asked = Object.keys(fans).find((one) => fans[one]!.includes(turnId));
  return path.includes(turnId) || !asked ? path.indexOf(turnId) : path.indexOf(asked) + 1 || -1;
}

/** Has an answer that was cut off go on where it stopped. */
export async function goOn(turnId: string, model: string | null = chat.getState().turns[turnId]?.model ?? null): Promise<void> {
  const { id, path, turns, branchId } = chat.getState();
  const old = turns[turnId];
  if (id === null || !old || path.at(-1) !== turnId) return;
  const answer = answerTurn(model);
  answer.continues = true;
  const question = new Unsent([answer]);
  // Of a rest that failed without a word nothing is there to go on with: this one comes in its place.
  const before = old.continues && isEmptyEnding(old) ? path.slice(0, -1) : path;
  put([...before, answer.id], [answer]);
  const antiphon = { continues: true, ...(branchId ? { branch_id: branchId } : {}) };
  const body = { conversation: id, model, stream: true, background: true, include: INCLUDE, antiphon };
  await asking(question, () => run("/v1/responses", body, [answer], null, question));
}

/** Asks once more what never reached the server. */
function askAgain(turnId: string, parts: Part[], model: string | null = null): Promise<void> {
  forgetRefused(turnId);
  chat.setState(({ path }) => ({ path: path.slice(0, path.indexOf(turnId)) }));
  return ask(parts, model ? [model] : undefined);
}

/** Stops every answer being made in the open conversation; what was said so far is kept, what was not asked comes back. */
export async function stop(): Promise<void> {
  stopUnsent();
  const begun = running().filter((turn) => turn.id.startsWith("resp_"));
  await Promise.all(begun.map((turn) => send(`/v1/responses/${turn.id}/cancel`, { method: "POST" }).catch(tellError)));
}

// --- answers being made

function run(path: string, body: object, answers: Turn[], said: Turn | null, question: Unsent): Promise<void> {
  return busily(() => answered(path, body, answers, said, question));
}

async function answered(path: string, body: object, answers: Turn[], said: Turn | null, question: Unsent): Promise<void> {
  const receiving = new Receiving(answers.map((turn) => turn.id), said, question);
  const manner = await question.prepare(readManner);
  question.send();
  await begin(path, { body: { ...manner, ...body }, idempotencyKey: newKey() }, receiving, answers.length);
  if (receiving.signal.aborted) return;
  await settle();
}

/** After an answer the tree has grown: read how. */
async function settle(): Promise<void> {
  const { id, path, turns } = chat.getState();
  if (id === null || running().length) return;
  const last = turns[path.at(-1) ?? ""];
  try {
    // What failed without a word is in no branch's path: it stays on the screen until one goes elsewhere.
    await persist(readTree, whileOpen());
    if (last?.items.length) await reread();
    await readTitle(id, TITLE_TRIES);
  } catch (error) {
    tellError(error);
  }
}

/** Reads the conversation until it has a title: the server makes it in the background, after the first answer. */
async function readTitle(id: string, tries: number): Promise<void> {
  if (chat.getState().id !== id || isGivenUp(id)) return; // left since, deleted, or being deleted
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
  const { turns: known, path: before } = chat.getState();
  const path = before.filter((one) => one !== id && !isEmptyEnding(known[one]));
  const said = input.data[0];
  const turns: Turn[] = [];
  if (said && !path.includes(said.id)) {
    turns.push(emptyTurn(said.id, "user", { items: input.data, at: response.created_at, authorId }));
  }
  turns.push(emptyTurn(id, "assistant", { model: response.model, status: "in_progress", at: response.created_at }));
  put([...path, ...turns.map((turn) => turn.id)], turns);
  const receiving = new Receiving([], null, null);
  await follow(id, -1, {
    signal,
    onLost: receiving.onLost,
    onEvent: (event) => receiving.onEvent({ ...event, response_id: id }),
  });
  if (!signal.aborted) await settle();
}

export { open };
