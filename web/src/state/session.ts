/** Who is there: the local owner of an open server, somebody logged in, or nobody yet. */

import { ApiError, call, onUnauthenticated, useBearer } from "../api/client";
import type { Me } from "../api/types";
import { replace } from "./router";
import { createStore, useStore } from "./store";

export interface Session {
  state: "looking" | "out" | "in" | "unreachable";
  me: Me | null;
  /** Whether one came in without a credential: the local owner. */
  open: boolean;
  /** Whether the login ends with the page, since no cookie could be kept. */
  fleeting: boolean;
}

export const session = createStore<Session>(() => ({ state: "looking", me: null, open: false, fleeting: false }));

export function useSession<T>(select: (session: Session) => T): T {
  return useStore(session, select);
}

const leaving = new Set<() => void>();

/** Called when somebody logs out. Returns what undoes it. */
export function onLogOut(listener: () => void): () => void {
  leaving.add(listener);
  return () => leaving.delete(listener);
}

onUnauthenticated(() => {
  if (session.getState().state === "in") session.setState({ state: "out", me: null });
});

/** Asks the server who one is. */
export async function look(): Promise<void> {
  try {
    const me = await call<Me>("/v1/auth/me");
    session.setState({ state: "in", me, open: me.name === "local" });
  } catch (error) {
    const refused = error instanceof ApiError && (error.status === 401 || error.status === 403);
    session.setState({ state: refused ? "out" : "unreachable", me: null });
  }
}

/** Logs in; throws `ApiError` for wrong credentials. */
export async function logIn(username: string, password: string): Promise<void> {
  const login = await call<{ access_token: string }>("/token", { body: { username, password } });
  await keep(login.access_token);
}

/** Keeps a session in the cookie, or in memory where the browser takes no cookie from this address. */
export async function keep(accessToken: string): Promise<void> {
  useBearer(accessToken);
  await call("/v1/auth/cookie", { method: "POST" });
  useBearer(null);
  try {
    const me = await call<Me>("/v1/auth/me");
    session.setState({ state: "in", me, open: false, fleeting: false });
  } catch {
    useBearer(accessToken);
    const me = await call<Me>("/v1/auth/me");
    session.setState({ state: "in", me, open: false, fleeting: true });
  }
}

export async function logOut(): Promise<void> {
  try {
    await call("/v1/auth/logout", { method: "POST" });
  } finally {
    leaving.forEach((tell) => tell());
    useBearer(null);
    replace(""); // whoever comes next begins at the beginning
    session.setState({ state: "out", me: null, fleeting: false });
  }
}
