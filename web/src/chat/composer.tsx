import { AttachmentPrimitive, ComposerPrimitive, useAuiEvent, useAuiState, useThreadViewportStore } from "@assistant-ui/react";
import TextareaAutosize from "react-textarea-autosize";
import { Icon } from "../frame/icons";
import { stop } from "../state/asking";
import { isViewer, useChat } from "../state/chat";
import { useShallow } from "../state/store";
import { Draft } from "./draft";
import { ModelPicker } from "./model-picker";
import { Thumbnail } from "./pictures";
import { Prompts } from "./prompts";

/** Where one writes: Enter sends, Shift+Enter is a new line, files come by button, drop and paste. */
export function Composer() {
  const viewer = useChat(isViewer);
  if (viewer) return <p className="read-only">You can read this conversation. Fork it to go on by yourself.</p>;
  return (
    <ComposerPrimitive.Unstable_TriggerPopoverRoot>
      <Writing />
    </ComposerPrimitive.Unstable_TriggerPopoverRoot>
  );
}

function Writing() {
  const viewport = useThreadViewportStore();
  useAuiEvent("composer.send", () => viewport.getState().scrollToBottom({ behavior: "instant" }));
  return (
    <ComposerPrimitive.Root className="composer">
      <Draft />
      <Prompts />
      <div className="attachments">
        <ComposerPrimitive.Attachments components={{ Attachment: AttachmentChip }} />
      </div>
      <ComposerPrimitive.Input asChild autoFocus unstable_insertNewlineOnTouchEnter unstable_focusOnRunStart={false /* others ask, too */}>
        <TextareaAutosize
          className="composer-input"
          aria-label="Message"
          dir="auto"
          aria-expanded={undefined /* the library says it; no text box may */}
          placeholder="Write a message"
          minRows={1}
          maxRows={12}
        />
      </ComposerPrimitive.Input>
      <div className="composer-bar">
        <ComposerPrimitive.AddAttachment className="icon" aria-label="Attach files">
          <Icon name="attach" />
        </ComposerPrimitive.AddAttachment>
        <ModelPicker />
        <span className="space" />
        <SendOrStop />
      </div>
    </ComposerPrimitive.Root>
  );
}

function SendOrStop() {
  const isRunning = useAuiState((state) => state.thread.isRunning);
  if (isRunning) {
    return (
      <button type="button" className="send" aria-label="Stop" onClick={() => void stop()}>
        <Icon name="stop" />
      </button>
    );
  }
  return (
    <ComposerPrimitive.Send className="send" aria-label="Send">
      <Icon name="send" />
    </ComposerPrimitive.Send>
  );
}

export function AttachmentChip() {
  const { type: state, progress } = useAuiState(useShallow((state) => ({ progress: 0, ...state.attachment.status })));
  const picture = useAuiState((state) => (state.attachment.type === "image" ? state.attachment.file : undefined));
  return (
    <AttachmentPrimitive.Root className={`chip ${state}`}>
      {picture ? <Thumbnail file={picture} /> : <Icon name="file" />}
      <span className="chip-name">
        <AttachmentPrimitive.Name />
      </span>
      {state === "running" && <span className="chip-note">{progress > 0 ? `${Math.round(progress * 100)} %` : "uploading…"}</span>}
      {state === "incomplete" && <span className="chip-note">not uploaded; sending tries again</span>}
      <AttachmentPrimitive.Remove className="icon small" aria-label="Remove">
        <Icon name="close" />
      </AttachmentPrimitive.Remove>
    </AttachmentPrimitive.Root>
  );
}
