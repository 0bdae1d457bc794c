/** Pictures of messages. The content policy shows no data: addresses and no others' servers: each becomes a blob. */

import { createContext, useContext, useEffect, useState } from "react";
import { send } from "../api/client";
import { Dialog } from "../frame/dialog";
import { chat } from "../state/chat";

const REMEMBERED = 50;
const known = new Map<string, Blob>();

/** The address of what is shown where that is no chat of the reader's: of a link to one. */
export const ShownAt = createContext<string | null>(null);

/** Keeps what was just uploaded, so that it need not come back to be shown. */
export function remember(fileId: string, content: Blob): void {
  known.delete(fileId);
  known.set(fileId, content);
  if (known.size > REMEMBERED) known.delete(known.keys().next().value!);
}

/** Returns an address for some content as long as the component lives. */
function useAddress(content: Blob | null): string | null {
  const [address, setAddress] = useState<string | null>(null);
  useEffect(() => {
    const made = content && URL.createObjectURL(content);
    setAddress(made);
    return () => {
      if (made) URL.revokeObjectURL(made);
    };
  }, [content]);
  return address;
}

export function Thumbnail({ file }: { file: Blob }) {
  const address = useAddress(file);
  return address ? <img className="thumbnail" src={address} alt="" /> : null;
}

/** A picture that an item names by its file's id, whoever of the conversation's people put it there. */
export function StoredPicture({ id, itemId }: { id: string; itemId: string }) {
  const [content, setContent] = useState(() => known.get(id) ?? null);
  const link = useContext(ShownAt);
  useEffect(() => {
    if (known.has(id)) return setContent(known.get(id)!);
    const { id: conversation } = chat.getState();
    const shown = link ?? (conversation && `/v1/conversations/${conversation}`);
    if (!shown || itemId.startsWith("local:")) return;
    const ending = new AbortController();
    send(`${shown}/items/${itemId}/pictures/${id}`, { signal: ending.signal })
      .then((response) => response.blob())
      .then((blob) => {
        remember(id, blob);
        if (!ending.signal.aborted) setContent(blob);
      })
      .catch(() => undefined);
    return () => ending.abort();
  }, [id, itemId, link]);
  return <Picture content={content} />;
}

/** A picture within a message, as programs and earlier versions of this page send it. */
export function InlinePicture({ url }: { url: string }) {
  const [content] = useState(() => contentOf(url));
  return <Picture content={content} />;
}

function contentOf(url: string): Blob | null {
  const found = /^data:(image\/(?:png|jpeg|webp|gif));base64,(.+)$/s.exec(url);
  if (!found) return null;
  try {
    return new Blob([Uint8Array.from(atob(found[2]!), (sign) => sign.charCodeAt(0))], { type: found[1]! });
  } catch {
    return null;
  }
}

function Picture({ content }: { content: Blob | null }) {
  const [large, setLarge] = useState(false);
  const [broken, setBroken] = useState(false);
  const address = useAddress(content);
  if (!address || broken) return <span className="chip">Picture</span>;
  return (
    <>
      <button className="picture-button" aria-label="Show the picture larger" onClick={() => setLarge(true)}>
        <img className="picture" src={address} alt="Attached picture" onError={() => setBroken(true)} />
      </button>
      {large && (
        <Dialog title="Picture" onClose={() => setLarge(false)} wide>
          <img className="picture-large" src={address} alt="Attached picture" />
        </Dialog>
      )}
    </>
  );
}
