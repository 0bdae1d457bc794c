/**
 * What is dropped, pasted or chosen. Pictures go to the model as they are; documents are uploaded at once, and
 * put into the conversation's own vector store when the question is sent, so that answers can quote them.
 */

import type { AttachmentAdapter } from "@assistant-ui/react";
import { call, send } from "../api/client";
import type { Part } from "../api/types";
import { tellError } from "../state/notices";

const LONGEST_SIDE = 2048;
const LARGEST_PICTURE = 4 * 1024 * 1024;
const PICTURES = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);

interface StoredFile {
  id: string;
  bytes: number;
  filename: string;
}

const uploads = new Map<string, StoredFile>();
let count = 0;

export const attachments: AttachmentAdapter = {
  accept: "*",

  async *add({ file }) {
    const id = `attachment-${++count}`;
    const picture = PICTURES.has(file.type);
    const pending = {
      id,
      type: picture ? ("image" as const) : ("document" as const),
      name: file.name,
      contentType: file.type || "application/octet-stream",
      file,
    };
    if (!picture) {
      yield { ...pending, status: { type: "running", reason: "uploading", progress: 0 } };
      try {
        const form = new FormData();
        form.append("purpose", "user_data");
        form.append("file", file, file.name);
        uploads.set(id, await call<StoredFile>("/v1/files", { form, method: "POST" }));
      } catch (error) {
        tellError(error);
        yield { ...pending, status: { type: "incomplete", reason: "error" } };
        return;
      }
    }
    yield { ...pending, status: { type: "requires-action", reason: "composer-send" } };
  },

  async remove({ id }) {
    const stored = uploads.get(id);
    uploads.delete(id);
    if (stored) await send(`/v1/files/${stored.id}`, { method: "DELETE" }).catch(() => undefined);
  },

  async send(attachment) {
    const stored = uploads.get(attachment.id);
    uploads.delete(attachment.id);
    const status = { type: "complete" as const };
    if (attachment.type === "image") {
      const image = await dataUrl(await fitted(attachment.file));
      return { ...attachment, status, content: [{ type: "image", image, filename: attachment.name }] };
    }
    if (!stored) throw new Error(`${attachment.name} was not uploaded.`);
    const part: Part = {
      type: "input_text",
      text: "", // the file's words come as sources; its name in the question would be searched for
      antiphon: { file_id: stored.id, filename: stored.filename, bytes: stored.bytes },
    };
    return { ...attachment, status, content: [{ type: "data", name: "file", data: part }] };
  },
};

/** Makes a large picture smaller: models see no more, and bodies have a limit. */
async function fitted(file: File): Promise<Blob> {
  if (file.type === "image/gif") return file;
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && file.size <= LARGEST_PICTURE) return file;
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return await new Promise((resolve, reject) => {
    canvas.toBlob((made) => (made ? resolve(made) : reject(new Error("The picture cannot be read."))), "image/jpeg", 0.88);
  });
}

function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
}
