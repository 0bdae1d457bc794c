import { useEffect } from "react";
import { useChat } from "../state/chat";
import { readNames, sayWriting, useLive } from "../state/live";
import { useSession } from "../state/session";

/** Who else is in the conversation and who of them is writing; and tells them when one writes oneself. */
export function Presence() {
  const others = useLive((live) => live.others);
  const writing = useLive((live) => live.writing);
  const last = useChat((chat) => chat.path.at(-1));
  useEffect(() => {
    const onInput = (event: Event) => {
      const target = event.target as HTMLElement;
      if (target.matches(".composer-input")) sayWriting((target as HTMLTextAreaElement).value !== "");
    };
    document.addEventListener("input", onInput);
    return () => document.removeEventListener("input", onInput);
  }, []);
  useEffect(() => sayWriting(false), [last]);
  const names = (writing.length ? writing : others).map((one) => one.name);
  const is = names.length === 1 ? "is" : "are";
  return (
    <p className="presence" role="status">
      {names.length > 0 && (writing.length ? `${listed(names)} ${is} writing…` : `${listed(names)} ${is} here`)}
    </p>
  );
}

function listed(names: string[]): string {
  if (names.length > 3) return `${names.slice(0, 2).join(", ")} and ${names.length - 2} others`;
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : (names[0] ?? "");
}

/** Returns the name of who wrote something, null if it was oneself. */
export function useAuthor(authorId: string | null): string | null {
  const me = useSession((session) => session.me?.id);
  const name = useLive((live) => (authorId ? live.names[authorId] : undefined));
  const another = authorId !== null && authorId !== me;
  useEffect(() => {
    if (another && !name) readNames();
  }, [another, name]);
  return another ? (name ?? "Somebody else") : null;
}
