/**
 * What one has begun to write: a draft for each conversation, and one for the next new chat. They last as long as
 * the tab and the login, and are seen by nobody but the account that wrote them.
 */

import type { Part } from "../api/types";
import { onLogOut, session } from "./session";
import { createStore, useStore } from "./store";

const PREFIX = "antiphon.draft:";
const NEW = "new";

/** A file that is stored by now, and the part by which a message names it. */
export interface Attached {
  name: string;
  part: Part;
}

export interface Draft {
  text: string;
  files: Attached[];
}

export const NOTHING: Draft = { text: "", files: [] };

/** Counts what was given back: where one writes must take it up. */
const given = createStore(() => ({ count: 0 }));

export function useGivenBack(): number {
  return useStore(given, ({ count }) => count);
}

/** Who writes here. A login that has run out leaves them so: what it did not let through is still theirs. */
let writer: string | null = null;
session.subscribe(({ me }) => {
  if (me) writer = me.id;
});

function keyOf(conversationId: string | null): string | null {
  return writer && `${PREFIX}${writer}:${conversationId ?? NEW}`;
}

export function draftOf(conversationId: string | null): Draft {
  const key = keyOf(conversationId);
  try {
    const found = key && sessionStorage.getItem(key);
    return found ? { ...NOTHING, ...(JSON.parse(found) as Partial<Draft>) } : NOTHING;
  } catch {
    return NOTHING;
  }
}

/** Keeps a draft; an empty one is forgotten. */
export function keepDraft(conversationId: string | null, draft: Draft): void {
  const key = keyOf(conversationId);
  if (!key) return;
  try {
    if (draft.text || draft.files.length) sessionStorage.setItem(key, JSON.stringify(draft));
    else sessionStorage.removeItem(key);
  } catch {
    // A browser that keeps nothing loses what was begun when one goes elsewhere.
  }
}

/** What was begun for a new chat belongs to the conversation that it has become. */
export function moveDraft(conversationId: string): void {
  keepDraft(conversationId, draftOf(null));
  keepDraft(null, NOTHING);
}

/** What was begun in a conversation that is gone belongs to the next new chat, before what was begun there. */
export function rescueDraft(conversationId: string): void {
  const { text, files } = draftOf(conversationId);
  const next = draftOf(null);
  keepDraft(null, { text: [text, next.text].filter(Boolean).join("\n"), files: joined(files, next.files) });
  keepDraft(conversationId, NOTHING);
}

/** Returns these files and those of the others that are not among them. */
function joined(these: readonly Attached[], others: readonly Attached[]): Attached[] {
  return [...these, ...others.filter(({ part }) => !these.some((one) => fileOf(one.part) === fileOf(part)))];
}

/** Gives what was not asked back to where one writes, before what was written since. */
export function giveBack(conversationId: string | null, parts: readonly Part[]): void {
  const now = draftOf(conversationId);
  const said = parts.filter((part) => part.text && !part.antiphon).map((part) => part.text!);
  const files = parts.filter((part) => part.antiphon || part.file_id || part.image_url).map((part) => ({ name: part.antiphon?.filename ?? "Picture", part }));
  keepDraft(conversationId, {
    text: [...said, now.text].filter(Boolean).join("\n"),
    files: joined(files, now.files),
  });
  given.setState(({ count }) => ({ count: count + 1 }));
}

/** The id of the file that a part names, or the picture itself. */
export function fileOf(part: Part): string | undefined {
  return part.antiphon?.file_id ?? part.file_id ?? part.image_url;
}

onLogOut(() => {
  writer = null;
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
  } catch {
    // Then nothing was kept.
  }
});
