/** A list that a component shows by pages and reads again when something in it has changed. */

import { useCallback, useEffect, useState } from "react";
import { call, messageOf, type Asked } from "../api/client";
import type { Page } from "../api/types";

const PAGE = 50;
const LARGEST_PAGE = 100;
const MOST = 1000;

export interface Listed<T> {
  list: T[] | null;
  hasMore: boolean;
  problem: string | null;
  /** Reads the first page again. */
  again: () => void;
  more: () => void;
  /** Does something and reads the list again; what fails is shown at it. */
  act: (done: Promise<unknown>) => Promise<boolean>;
}

export function useList<T extends { id: string }>(path: string, query: Asked["query"] = {}): Listed<T> {
  const [list, setList] = useState<T[] | null>(null);
  const [hasMore, setHasMore] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const key = JSON.stringify(query);
  const read = useCallback(
    async (known: T[]) => {
      try {
        const given = JSON.parse(key) as Asked["query"];
        const page = await call<Page<T>>(path, { query: { ...given, limit: PAGE, after: known.at(-1)?.id } });
        setList([...known, ...page.data]);
        setHasMore(page.has_more);
        setProblem(null);
      } catch (error) {
        setProblem(messageOf(error));
      }
    },
    [path, key],
  );
  useEffect(() => void read([]), [read]);
  const act = async (done: Promise<unknown>) => {
    try {
      await done;
      await read([]);
      return true;
    } catch (error) {
      setProblem(messageOf(error));
      return false;
    }
  };
  return { list, hasMore, problem, again: () => void read([]), more: () => void read(list ?? []), act };
}

/** All of a list, up to a thousand, for what is chosen from it or named by it; what cannot be read is left out. */
export function useAll<T extends { id: string }>(path: string): T[] {
  const [list, setList] = useState<T[]>([]);
  useEffect(() => {
    const ending = new AbortController();
    readAll<T>(path, setList, ending.signal).catch(() => undefined);
    return () => ending.abort();
  }, [path]);
  return list;
}

async function readAll<T extends { id: string }>(path: string, show: (list: T[]) => void, signal: AbortSignal): Promise<void> {
  const known: T[] = [];
  for (let hasMore = true; hasMore && known.length < MOST; ) {
    const page = await call<Page<T>>(path, { query: { limit: LARGEST_PAGE, after: known.at(-1)?.id }, signal });
    known.push(...page.data);
    hasMore = page.has_more;
    show([...known]);
  }
}
