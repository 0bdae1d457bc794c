/** Sending a file with its progress, which `fetch` does not tell. */

import { ApiError, bearerToken, newKey } from "./client";

export interface StoredFile {
  id: string;
  filename: string;
  bytes: number;
  created_at: number;
}

/** Sends a file and returns what it became; throws `ApiError`, or what the signal says. */
export function uploadFile(
  file: File,
  onProgress: (share: number) => void,
  signal: AbortSignal,
  purpose: "assistants" | "user_data" | "vision" = "assistants",
): Promise<StoredFile> {
  const form = new FormData();
  form.append("purpose", purpose);
  form.append("file", file, file.name);
  const request = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    const stop = () => request.abort();
    if (signal.aborted) return reject(new ApiError(0, "The upload was stopped."));
    signal.addEventListener("abort", stop);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.onabort = () => reject(new ApiError(0, "The upload was stopped."));
    request.onerror = () => reject(new ApiError(0, "The server cannot be reached."));
    request.onload = () => {
      const body = decoded(request.responseText);
      if (request.status < 300 && body) resolve(body as StoredFile);
      else reject(new ApiError(request.status, body?.error?.message ?? `The server answered ${request.status}.`));
    };
    request.open("POST", "/v1/files");
    const token = bearerToken();
    if (token) request.setRequestHeader("authorization", `Bearer ${token}`);
    request.setRequestHeader("idempotency-key", newKey());
    request.send(form);
  });
}

function decoded(text: string): { error?: { message: string } } | null {
  try {
    return JSON.parse(text) as { error?: { message: string } };
  } catch {
    return null;
  }
}
