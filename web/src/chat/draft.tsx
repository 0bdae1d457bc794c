import { useAui, useAuiState } from "@assistant-ui/react";
import { useEffect, useRef } from "react";
import { useChat } from "../state/chat";
import { draftOf, fileOf, keepDraft, useGivenBack } from "../state/drafts";
import { attachedOf, complete } from "./attachments";

/** Takes up what was begun in this conversation, and keeps what one writes. */
export function Draft() {
  const aui = useAui();
  const id = useChat((chat) => chat.id);
  const text = useAuiState((state) => state.composer.text);
  const attachments = useAuiState((state) => state.composer.attachments);
  const given = useGivenBack();
  const taken = useRef(-1);
  useEffect(() => {
    const files = attachments.flatMap((one) => attachedOf(one) ?? []);
    if (taken.current === given) return keepDraft(id, { text, files });
    taken.current = given;
    const draft = draftOf(id);
    const here = new Set(files.map(({ part }) => fileOf(part)));
    aui.composer().setText(draft.text);
    for (const one of draft.files) {
      if (!here.has(fileOf(one.part))) void aui.composer().addAttachment(complete(one.part, one.name));
    }
  }, [aui, id, text, attachments, given]);
  return null;
}
