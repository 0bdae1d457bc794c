/** The vector store that a conversation's own attachments go into, and which every turn there is answered from. */

import { call, newKey } from "../api/client";
import type { Part } from "../api/types";
import { pause } from "../api/stream";

const NAME = "Attachments";
const WAIT_MILLISECONDS = 120_000;

interface Store {
  id: string;
  name: string | null;
  metadata: Record<string, string>;
}

interface StoredIn {
  id: string;
  status: "in_progress" | "completed" | "failed" | "cancelled";
  last_error: { code: string; message: string } | null;
}

/** Makes the documents among the parts part of what the conversation is answered from; waits until they are read. */
export async function take(conversationId: string, parts: Part[], signal: AbortSignal): Promise<void> {
  const files = parts.flatMap((part) => (part.antiphon ? [part.antiphon] : []));
  if (!files.length) return;
  const store = await storeOf(conversationId);
  await Promise.all(files.map((file) => put(store, file.file_id, file.filename, signal)));
}

/** Takes away what was made for the documents of a conversation that is about to go. */
export async function release(conversationId: string): Promise<void> {
  for (const id of await attachedTo(conversationId)) {
    if (await isMadeFor(id, conversationId)) await call(`/v1/vector_stores/${id}`, { method: "DELETE" });
  }
}

async function attachedTo(conversationId: string): Promise<string[]> {
  return (await call<{ vector_store_ids: string[] }>(`/v1/conversations/${conversationId}/vector_stores`)).vector_store_ids;
}

async function isMadeFor(storeId: string, conversationId: string): Promise<boolean> {
  const store = await call<Store>(`/v1/vector_stores/${storeId}`).catch(() => null);
  return store?.metadata.conversation === conversationId;
}

async function storeOf(conversationId: string): Promise<string> {
  const known = await attachedTo(conversationId);
  for (const id of known) if (await isMadeFor(id, conversationId)) return id;
  const body = { name: NAME, metadata: { conversation: conversationId } };
  const made = await call<Store>("/v1/vector_stores", { body, idempotencyKey: newKey() });
  await call(`/v1/conversations/${conversationId}/vector_stores`, { method: "PUT", body: { vector_store_ids: [...known, made.id] } });
  return made.id;
}

async function put(storeId: string, fileId: string, name: string, signal: AbortSignal): Promise<void> {
  const path = `/v1/vector_stores/${storeId}/files`;
  let found = await call<StoredIn>(path, { body: { file_id: fileId }, idempotencyKey: newKey() });
  const until = Date.now() + WAIT_MILLISECONDS;
  for (let attempt = 0; found.status === "in_progress" && Date.now() < until && !signal.aborted; attempt++) {
    await pause(Math.min(attempt, 2), signal);
    found = await call<StoredIn>(`${path}/${fileId}`);
  }
  if (found.status === "failed") throw new Error(`${name}: ${found.last_error?.message ?? "it cannot be read."}`);
}
