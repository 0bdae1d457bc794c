/** Between our store and assistant-ui: turns become its messages, and what is done there becomes calls. */

import {
  AssistantRuntimeProvider,
  useExternalStoreRuntime,
  type AppendMessage,
  type ExternalStoreAdapter,
  type ThreadMessage,
} from "@assistant-ui/react";
import { MessageRepository } from "@assistant-ui/core/internal";
import { useMemo, type ReactNode } from "react";
import type { Part } from "../api/types";
import { ask, edit, regenerate, rewrite, stop } from "../state/asking";
import { goTo, isViewer, readEarlier, running, useChat, type Chat } from "../state/chat";
import { tellError } from "../state/notices";
import { ENDED, isRunning, textOf, type Turn } from "../state/turns";
import { attachments, attachmentsOf } from "./attachments";
import { inPlace } from "./in-place";
import { speech } from "./speech";

const converted = new WeakMap<Turn, ThreadMessage>();

/** The same turn gives the same message, so that only what changed is rendered. */
function messageOf(turn: Turn): ThreadMessage {
  const known = converted.get(turn);
  if (known) return known;
  const common = { id: turn.id, createdAt: new Date(turn.at * 1000) };
  const content = [{ type: "text" as const, text: turn.stub ? "" : textOf(turn) }];
  const metadata = { custom: {} };
  const message = (
    turn.role === "assistant"
      ? {
          ...common,
          role: "assistant",
          content,
          status: statusOf(turn),
          metadata: { ...metadata, unstable_state: null, unstable_annotations: [], unstable_data: [], steps: [] },
        }
      : { ...common, role: turn.role, content, attachments: attachmentsOf(turn), metadata }
  ) as ThreadMessage;
  converted.set(turn, message);
  return message;
}

function statusOf(turn: Turn) {
  if (!ENDED.has(turn.status)) return { type: "running" as const };
  if (turn.status === "completed") return { type: "complete" as const, reason: "stop" as const };
  const reason = turn.status === "cancelled" ? ("cancelled" as const) : ("error" as const);
  return { type: "incomplete" as const, reason };
}

function repositoryOf(state: Chat) {
  const messages: { parentId: string | null; message: ThreadMessage }[] = [];
  const known = new Set<string>();
  let parentId: string | null = null;
  for (const id of state.path) {
    for (const one of state.beside[id] ?? [id]) {
      const turn = state.turns[one];
      if (turn && known.size < known.add(one).size) messages.push({ parentId, message: messageOf(turn) });
    }
    parentId = id;
  }
  return { headId: parentId, messages };
}

function partsOf(message: AppendMessage): Part[] {
  const parts: Part[] = [];
  const content = [...message.content, ...(message.attachments ?? []).flatMap((one) => one.content)];
  for (const part of content) {
    if (part.type === "text" && part.text.trim()) parts.push({ type: "input_text", text: part.text });
    else if (part.type === "data" && part.name === "part") parts.push(part.data as Part);
  }
  return parts;
}

export function ChatRuntime({ children }: { children: ReactNode }) {
  const state = useChat((chat) => chat);
  const repository = useMemo(() => repositoryOf(state), [state.path, state.turns, state.beside]);
  // A repository keeps siblings in the order in which it first saw them, so another order needs another one.
  const order = JSON.stringify(state.path.map((id) => state.beside[id] ?? 0));
  const instance = useMemo(() => new MessageRepository(), [order]);
  const shown = state.turns[state.path.at(-1) ?? ""];
  const adapter: ExternalStoreAdapter<ThreadMessage> = {
    messageRepository: repository,
    unstable_messageRepositoryInstance: instance,
    isRunning: (shown !== undefined && isRunning(shown)) || running(state).length > 0,
    isLoading: state.state === "reading",
    isDisabled: isViewer(state),
    hasEarlier: state.hasEarlier,
    onLoadEarlier: () => readEarlier().catch(tellError),
    onNew: (message) => ask(partsOf(message)),
    onEdit: (message) => {
      const work = message.role === "assistant" ? rewrite : edit;
      return work(message.sourceId!, partsOf(message)).catch(tellError);
    },
    onReload: async (parentId) => {
      const at = state.path.indexOf(parentId ?? "");
      const answer = state.path[at + 1];
      if (answer) await regenerate(answer);
    },
    onCancel: stop,
    setMessages: () => undefined, // switching needs it to be there; `goTo` does the work
    unstable_onBranchChange: ({ visibleMessageIds }) => {
      const chosen = visibleMessageIds.find((id) => !state.path.includes(id));
      if (chosen) inPlace(() => goTo(chosen)).catch(tellError);
    },
    adapters: { attachments, speech },
  };
  const runtime = useExternalStoreRuntime(adapter);
  return <AssistantRuntimeProvider runtime={runtime}>{children}</AssistantRuntimeProvider>;
}
