/** Bringing along chats from elsewhere: the file goes up, and the server tells of each chat that came in. */

import { ApiError, send } from "../api/client";
import { piecesOf } from "../api/stream";
import { uploadFile } from "../api/upload";
import { readConversations } from "./conversations";

/** How many chats are new, have grown, were there already, are empty, were left out or could not be read. */
export interface Brought {
  new: number;
  grown: number;
  same: number;
  empty: number;
  left: number;
  failed: number;
}

interface Line extends Brought {
  object: "import" | "import.conversation";
}

/** `onStep` hears which share of the file was sent, then how many chats were looked at. */
export async function bringChats(file: File, onStep: (sent: number, seen: number) => void, signal: AbortSignal): Promise<Brought> {
  const stored = await uploadFile(file, (share) => onStep(share, 0), signal, "user_data");
  try {
    const response = await send("/v1/imports", { body: { file_id: stored.id }, signal });
    let seen = 0;
    for await (const lines of piecesOf(response, "\n")) {
      for (const line of lines) {
        const told = JSON.parse(line) as Line;
        if (told.object === "import") return told;
        onStep(1, ++seen);
      }
    }
    throw new ApiError(0, "It was broken off. Choose the file again: what is here already does not come twice.");
  } finally {
    // The chats are here now; the file would stay among one's own.
    await send(`/v1/files/${stored.id}`, { method: "DELETE" }).catch(() => undefined);
    await readConversations().catch(() => undefined);
  }
}
