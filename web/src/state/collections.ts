/** Collections (vector stores), their files, and what is on its way into them. */

import { call, messageOf, newKey } from "../api/client";
import type { Page } from "../api/types";
import { uploadFile, type StoredFile } from "../api/upload";
import { tellError } from "./notices";
import { session } from "./session";
import { createStore, useStore } from "./store";

const PAGE = 50;
const POLL_MILLISECONDS = 1500;
const AT_ONCE = 3;

export interface Collection {
  id: string;
  name: string | null;
  description: string | null;
  created_at: number;
  last_active_at: number;
  usage_bytes: number;
  status: string;
  file_counts: { in_progress: number; completed: number; failed: number; total: number };
  expires_at: number | null;
  /** `conversation` names the one whose attachments are in it. */
  metadata: Record<string, string>;
}

export type Attributes = Record<string, string | number | boolean>;

export interface Entry {
  id: string;
  status: "in_progress" | "completed" | "failed" | "cancelled";
  usage_bytes: number;
  created_at: number;
  last_error: { code: string; message: string } | null;
  attributes: Attributes;
  antiphon: { done: number; total: number; duplicate_of: string | null; notes?: string[] };
}

export interface Upload {
  key: string;
  collection: string;
  name: string;
  /** 0 to 1. */
  sent: number;
  problem: string | null;
  stop: () => void;
}

export interface Collections {
  list: Collection[];
  hasMore: boolean;
  isRead: boolean;
  /** Those that every turn of one's own is answered from. */
  standing: string[];
  open: Collection | null;
  entries: Entry[];
  entriesHaveMore: boolean;
  names: Record<string, string>;
  uploads: Upload[];
}

const NONE: Collections = {
  list: [],
  hasMore: false,
  isRead: false,
  standing: [],
  open: null,
  entries: [],
  entriesHaveMore: false,
  names: {},
  uploads: [],
};

export const collections = createStore<Collections>(() => NONE);

// Nothing of whoever was here before stays for whoever comes next.
session.subscribe(({ state }) => {
  if (state !== "out") return;
  collections.getState().uploads.forEach((upload) => upload.stop());
  collections.setState(NONE, true);
});

export function useCollections<T>(select: (state: Collections) => T): T {
  return useStore(collections, select);
}

export async function readCollections(more = false): Promise<void> {
  const after = more ? collections.getState().list.at(-1)?.id : null;
  const [page, standing] = await Promise.all([
    call<Page<Collection>>("/v1/vector_stores", { query: { limit: PAGE, after } }),
    call<{ vector_store_ids: string[] }>("/v1/me/vector_stores"),
  ]);
  collections.setState((now) => ({
    list: more ? [...now.list, ...page.data] : page.data,
    hasMore: page.has_more,
    isRead: true,
    standing: standing.vector_store_ids,
  }));
}

export async function createCollection(name: string): Promise<Collection> {
  const made = await call<Collection>("/v1/vector_stores", { body: { name }, idempotencyKey: newKey() });
  collections.setState(({ list }) => ({ list: [made, ...list] }));
  return made;
}

export async function renameCollection(id: string, name: string): Promise<void> {
  const open = await call<Collection>(`/v1/vector_stores/${id}`, { body: { name } });
  collections.setState({ open });
}

export async function deleteCollection(id: string): Promise<void> {
  await call(`/v1/vector_stores/${id}`, { method: "DELETE" });
  collections.setState(({ list }) => ({ list: list.filter((one) => one.id !== id), open: null, entries: [] }));
}

/** Has every turn of one's own answered from a collection, or no longer. */
export async function stand(id: string, stands: boolean): Promise<void> {
  const others = collections.getState().standing.filter((one) => one !== id);
  const body = { vector_store_ids: stands ? [...others, id] : others };
  const { vector_store_ids: standing } = await call<typeof body>("/v1/me/vector_stores", { method: "PUT", body });
  collections.setState({ standing });
}

// --- one collection

/** Reads a collection and its newest files, again and again while any of them is being read in. */
export function watchCollection(id: string): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  collections.setState({ open: null, entries: [], entriesHaveMore: false });
  const look = async () => {
    await readEntries(id);
    if (!ended) timer = setTimeout(again, POLL_MILLISECONDS);
  };
  const again = () => {
    const { open, uploads } = collections.getState();
    const works = open?.file_counts.in_progress || uploads.some((one) => one.collection === id && !one.problem);
    if (works) void look().catch(tellError);
    else timer = setTimeout(again, POLL_MILLISECONDS);
  };
  look().catch((error: unknown) => {
    if (!ended) tellError(error);
  });
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

async function readEntries(id: string): Promise<void> {
  const limit = Math.max(collections.getState().entries.length, PAGE);
  const [open, page] = await Promise.all([
    call<Collection>(`/v1/vector_stores/${id}`),
    call<Page<Entry>>(`/v1/vector_stores/${id}/files`, { query: { limit: Math.min(limit, 100) } }),
  ]);
  collections.setState({ open, entries: page.data, entriesHaveMore: page.has_more });
  await readNames(page.data);
}

export async function readMoreEntries(id: string): Promise<void> {
  const after = collections.getState().entries.at(-1)?.id;
  const page = await call<Page<Entry>>(`/v1/vector_stores/${id}/files`, { query: { limit: PAGE, after } });
  collections.setState(({ entries }) => ({ entries: [...entries, ...page.data], entriesHaveMore: page.has_more }));
  await readNames(page.data);
}

async function readNames(entries: Entry[]): Promise<void> {
  const unknown = entries.filter((one) => !(one.id in collections.getState().names));
  const files = await Promise.all(unknown.map((one) => call<StoredFile>(`/v1/files/${one.id}`).catch(() => null)));
  const found = files.flatMap((file) => (file ? [[file.id, file.filename] as const] : []));
  if (found.length) collections.setState(({ names }) => ({ names: { ...names, ...Object.fromEntries(found) } }));
}

export async function describe(id: string, entry: string, attributes: Attributes): Promise<void> {
  const changed = await call<Entry>(`/v1/vector_stores/${id}/files/${entry}`, { body: { attributes } });
  collections.setState(({ entries }) => ({ entries: entries.map((one) => (one.id === entry ? changed : one)) }));
}

/** Takes a file out of the collection, or deletes it wherever it is. */
export async function removeEntry(id: string, entry: string, wholly: boolean): Promise<void> {
  await call(wholly ? `/v1/files/${entry}` : `/v1/vector_stores/${id}/files/${entry}`, { method: "DELETE" });
  await readEntries(id);
}

// --- on the way

const waiting: (() => Promise<void>)[] = [];
let working = 0;

/** Sends files into a collection, a few at a time; goes on while one is elsewhere on the page. */
export function sendFiles(id: string, files: Iterable<File>): void {
  for (const file of files) {
    const key = newKey();
    const ending = new AbortController();
    const stop = () => {
      ending.abort();
      forgetUpload(key);
    };
    const upload = { key, collection: id, name: file.name, sent: 0, problem: null, stop };
    collections.setState(({ uploads }) => ({ uploads: [...uploads, upload] }));
    waiting.push(() => sendOne(id, file, key, ending.signal));
  }
  work();
}

function work(): void {
  while (working < AT_ONCE && waiting.length) {
    working++;
    void waiting.shift()!().finally(() => {
      working--;
      work();
    });
  }
}

async function sendOne(id: string, file: File, key: string, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  try {
    const stored = await uploadFile(file, (sent) => note(key, { sent }), signal);
    collections.setState(({ names }) => ({ names: { ...names, [stored.id]: stored.filename } }));
    await call(`/v1/vector_stores/${id}/files`, { body: { file_id: stored.id }, idempotencyKey: newKey() });
    forgetUpload(key);
    if (collections.getState().open?.id === id) await readEntries(id);
  } catch (error) {
    if (!signal.aborted) note(key, { problem: messageOf(error) });
  }
}

function note(key: string, change: Partial<Upload>): void {
  collections.setState(({ uploads }) => ({ uploads: uploads.map((one) => (one.key === key ? { ...one, ...change } : one)) }));
}

function forgetUpload(key: string): void {
  collections.setState(({ uploads }) => ({ uploads: uploads.filter((one) => one.key !== key) }));
}
