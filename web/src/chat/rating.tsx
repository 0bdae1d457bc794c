import type { Rating } from "../api/types";
import { Icon } from "../frame/icons";
import { isViewer, useChat } from "../state/chat";
import { rate } from "../state/rating";
import type { Turn } from "../state/turns";

const WORDS: [Rating, string][] = [
  ["good", "Good answer"],
  ["bad", "Bad answer"],
];

/** What one thinks of an answer; a second press takes it back. */
export function Rate({ turn }: { turn: Turn }) {
  const viewer = useChat(isViewer);
  if (viewer || !turn.id.startsWith("resp_")) return null; // what a person wrote is nobody's answer
  return WORDS.map(([rating, label]) => (
    <button
      key={rating}
      className="icon"
      aria-label={label}
      aria-pressed={turn.rating === rating}
      onClick={() => void rate(turn.id, turn.rating === rating ? null : rating)}
    >
      <Icon name={rating} />
    </button>
  ));
}
