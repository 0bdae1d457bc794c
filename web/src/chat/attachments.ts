/**
 * What is dropped, pasted or chosen is uploaded at once, and a message names it by its id. Models are shown pictures
 * as they are; documents are put into the conversation's own vector store when the question is sent, so that answers
 * can quote them. What could not be uploaded is tried again with the question, and keeps it from being sent.
 */

import type { Attachment, AttachmentAdapter, CompleteAttachment } from "@assistant-ui/react";
import { messageOf, send } from "../api/client";
import { uploadFile, type StoredFile } from "../api/upload";
import type { Part } from "../api/types";
import type { Attached } from "../state/drafts";
import { tell } from "../state/notices";
import type { Turn } from "../state/turns";
import { remember } from "./pictures";

const LONGEST_SIDE = 2048;
const LARGEST_PICTURE = 4 * 1024 * 1024;
const LOOK_MILLISECONDS = 150;
const PICTURES = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);

/** One file on its way to the server. */
class Upload {
  sent = 0;
  /** What it became, once it is there. */
  found: StoredFile | null = null;
  stored: Promise<StoredFile>;
  private readonly ending = new AbortController();

  constructor(
    private readonly file: File,
    readonly isPicture: boolean,
  ) {
    this.stored = this.begin();
  }

  /** Sends what was not stored once more. */
  again(): Promise<StoredFile> {
    return this.stored.catch(() => (this.stored = this.begin()));
  }

  /** Gives up, and takes back what is stored by now. */
  async undo(): Promise<void> {
    this.ending.abort();
    const stored = await this.stored.catch(() => null);
    if (stored) await send(`/v1/files/${stored.id}`, { method: "DELETE" }).catch(() => undefined);
  }

  private async begin(): Promise<StoredFile> {
    const file = this.isPicture ? await fitted(this.file) : this.file;
    const note = (share: number) => (this.sent = share);
    const stored = await uploadFile(file, note, this.ending.signal, this.isPicture ? "vision" : "user_data");
    if (this.isPicture) remember(stored.id, file);
    this.found = stored;
    return stored;
  }
}

const uploads = new Map<string, Upload>();
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
    const upload = new Upload(file, picture);
    uploads.set(id, upload);
    const ended = upload.stored.then(() => true, () => true);
    do yield { ...pending, status: { type: "running", reason: "uploading", progress: upload.sent } };
    while (!(await Promise.race([ended, aMoment()])));
    try {
      await upload.stored;
      yield { ...pending, status: { type: "requires-action", reason: "composer-send" } };
    } catch (error) {
      if (!uploads.has(id)) return; // it was taken away meanwhile
      tellOf(file, error);
      yield { ...pending, status: { type: "incomplete", reason: "error" } };
    }
  },

  async remove({ id }) {
    const upload = uploads.get(id);
    uploads.delete(id);
    await upload?.undo();
  },

  async send(attachment) {
    const { id, name, type, file } = attachment;
    const stored = await uploads
      .get(id)!
      .again()
      .catch((error: unknown) => {
        tellOf(file, error);
        throw error; // the composer takes its text and files back
      });
    uploads.delete(id);
    const content = [{ type: "data" as const, name: "part", data: partOf(stored, type === "image") }];
    return { id, name, type, contentType: attachment.contentType, status: { type: "complete" }, content };
  },
};

/** Returns the pictures and documents of what was said, so that one can take them off where one says it otherwise. */
export function attachmentsOf(turn: Turn): CompleteAttachment[] {
  const parts = turn.items.flatMap((item) => item.content ?? []).filter(isAttached);
  return parts.map((part, index) => ({ ...complete(part), id: `${turn.id}-${index}`, status: { type: "complete" as const } }));
}

function isAttached(part: Part): boolean {
  return part.antiphon !== undefined || part.type === "input_image" || part.type === "input_file";
}

/** An attachment that is sent as it is. */
export function complete(part: Part, name = part.antiphon?.filename ?? part.filename) {
  const picture = part.type === "input_image";
  const content = [{ type: "data" as const, name: "part", data: part }];
  return { name: name ?? (picture ? "Picture" : "File"), type: picture ? ("image" as const) : ("document" as const), content };
}

/** Returns what a draft keeps of an attachment: nothing of what is not stored yet. */
export function attachedOf({ id, name, content }: Attachment): Attached | null {
  const part = content?.find((one) => one.type === "data");
  if (part) return { name, part: part.data as Part };
  const upload = uploads.get(id);
  return upload?.found ? { name, part: partOf(upload.found, upload.isPicture) } : null;
}

function aMoment(): Promise<false> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_MILLISECONDS, false));
}

function tellOf(file: File, error: unknown): void {
  tell(`${file.name} was not uploaded. ${messageOf(error)}`, "error");
}

function partOf({ id, filename, bytes }: StoredFile, isPicture: boolean): Part {
  if (isPicture) return { type: "input_image", file_id: id };
  // The file's words come as sources; its name in the question would be searched for.
  return { type: "input_text", text: "", antiphon: { file_id: id, filename, bytes } };
}

/** Makes a large picture smaller: models see no more, and it is there sooner. */
async function fitted(file: File): Promise<File> {
  if (file.type === "image/gif") return file;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new Error("The picture cannot be read.");
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && file.size <= LARGEST_PICTURE) return file;
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const type = "image/jpeg";
  const made = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, type, 0.88));
  if (!made) throw new Error("The picture cannot be read.");
  return new File([made], file.name.replace(/(\.\w+)?$/, ".jpg"), { type });
}
