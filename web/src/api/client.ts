/** Calls of `/v1`: JSON in and out, errors as `ApiError`. The session is the browser's cookie. */

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }

  /** Whether trying again may help: the network, a restart, or a limit of a minute. */
  get isPassing(): boolean {
    return this.status === 0 || this.status >= 500 || this.status === 429;
  }
}

/** Whether what was asked for is not there, or not the caller's. */
export function isMissing(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

let bearer: string | null = null;
const unauthenticated = new Set<() => void>();

/** Where no cookie can be kept (plain HTTP on a name other than localhost) the token lives as long as the page. */
export function useBearer(token: string | null): void {
  bearer = token;
}

/** The token that lives as long as the page, for what cannot go through `send`: sockets and uploads. */
export function bearerToken(): string | null {
  return bearer;
}

/** Called when a credential no longer holds. Returns what undoes it. */
export function onUnauthenticated(listener: () => void): () => void {
  unauthenticated.add(listener);
  return () => unauthenticated.delete(listener);
}

export interface Asked {
  method?: string;
  body?: unknown;
  form?: FormData;
  query?: Record<string, string | number | boolean | string[] | null | undefined>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  idempotencyKey?: string;
}

export function address(path: string, query: Asked["query"] = {}): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) parts.append(name, String(one));
  }
  const search = parts.toString();
  return search ? `${path}?${search}` : path;
}

/** Sends a request and returns the response if it is a success; throws `ApiError` otherwise. */
export async function send(path: string, asked: Asked = {}): Promise<globalThis.Response> {
  const headers: Record<string, string> = { ...asked.headers };
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  if (asked.idempotencyKey) headers["idempotency-key"] = asked.idempotencyKey;
  let body: BodyInit | undefined;
  if (asked.form) body = asked.form;
  else if (asked.body !== undefined) {
    body = JSON.stringify(asked.body);
    headers["content-type"] = "application/json";
  }
  let response: globalThis.Response;
  try {
    response = await fetch(address(path, asked.query), {
      method: asked.method ?? (body === undefined ? "GET" : "POST"),
      body,
      headers,
      signal: asked.signal,
      credentials: "same-origin",
    });
  } catch (error) {
    if (asked.signal?.aborted) throw error;
    throw new ApiError(0, "The server cannot be reached.");
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (problem.status === 401 && problem.code !== "invalid_credentials") unauthenticated.forEach((tell) => tell());
  throw problem;
}

/** The same, decoded. */
export async function call<T>(path: string, asked: Asked = {}): Promise<T> {
  return (await (await send(path, asked)).json()) as T;
}

async function problemOf(response: globalThis.Response): Promise<ApiError> {
  const after = Number(response.headers.get("retry-after")) || null;
  try {
    const { error } = (await response.json()) as { error: { message: string; code: string | null } };
    return new ApiError(response.status, error.message, error.code, after);
  } catch {
    return new ApiError(response.status, `The server answered ${response.status}.`, null, after);
  }
}

/** What to tell a person of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function newKey(): string {
  // Not `randomUUID`: plain HTTP on a name of its own is no secure context.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
