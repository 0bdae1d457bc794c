import { useEffect, useState } from "react";
import { call, messageOf } from "../api/client";
import type { Branch, Item, Page } from "../api/types";
import { AnswerWords } from "../chat/answer";
import { useChat } from "../state/chat";
import { wholes } from "../state/joining";
import { tellError } from "../state/notices";
import { goToBranch } from "../state/places";
import { go, link, replace } from "../state/router";
import { textOf, turnsOf } from "../state/turns";
import { More } from "./parts";
import type { ViewProps } from "./registry";
import "../styles/views.css";
import "../styles/tree.css";

const PAGE = 20;

interface Side {
  branch_id: string;
  data: Item[];
  has_more: boolean;
}

interface Comparison {
  common_depth: number;
  left: Side;
  right: Side;
}

/** Two branches side by side, from where they part. */
export default function Compare({ rest }: ViewProps) {
  const [id, , left, right] = rest as [string, string, string, string];
  const branches = useChat((chat) => chat.branches);
  const [found, setFound] = useState<Comparison | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const query = { left, right, limit: PAGE, include: "antiphon" };
    call<Comparison>(`/v1/conversations/${id}/compare`, { query })
      .then((read) => (setFound(read), setProblem(null)))
      .catch((error: unknown) => setProblem(messageOf(error)));
  }, [id, left, right]);
  const sides = [
    { side: found?.left, other: right },
    { side: found?.right, other: left },
  ];
  return (
    <div className="view compare">
      <header className="view-head">
        <h1>Two branches</h1>
        <a className="button quiet" href={link("c", id, "tree")}>
          Back to the tree
        </a>
      </header>
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {found && <p className="common">{commonOf(found.common_depth)}</p>}
      <div className="compare-sides">
        {found &&
          sides.map(({ side, other }, index) => (
            <Line
              key={side!.branch_id}
              id={id}
              side={side!}
              unnamed={index ? "The right branch" : "The left branch"}
              branches={branches}
              onChoose={(chosen) => (index ? replace("c", id, "compare", other, chosen) : replace("c", id, "compare", chosen, other))}
            />
          ))}
      </div>
    </div>
  );
}

function commonOf(depth: number): string {
  if (depth < 0) return "They have nothing in common.";
  return depth === 0 ? "The first message is the same in both." : `The first ${depth + 1} messages are the same in both.`;
}

function Line({
  id,
  side,
  unnamed,
  branches,
  onChoose,
}: {
  id: string;
  side: Side;
  unnamed: string;
  branches: Branch[];
  onChoose: (branch: string) => void;
}) {
  const [items, setItems] = useState(side.data);
  const [hasMore, setHasMore] = useState(side.has_more);
  useEffect(() => {
    setItems(side.data);
    setHasMore(side.has_more);
  }, [side]);
  const more = () => {
    const query = { branch: side.branch_id, order: "asc", after: items.at(-1)?.id, limit: PAGE, include: "antiphon" };
    call<Page<Item>>(`/v1/conversations/${id}/items`, { query })
      .then((page) => {
        setItems([...items, ...page.data]);
        setHasMore(page.has_more);
      })
      .catch(tellError);
  };
  return (
    <section className="compare-side" aria-label={branches.find((one) => one.id === side.branch_id)?.name ?? unnamed}>
      <div className="row">
        <select aria-label="Branch" value={side.branch_id} onChange={(event) => onChoose(event.target.value)}>
          {branches
            .filter((one) => !one.alias_of)
            .map((one) => (
              <option key={one.id} value={one.id}>
                {one.name}
              </option>
            ))}
        </select>
        <button className="quiet" onClick={() => goToBranch(side.branch_id).then(() => go("c", id)).catch(tellError)}>
          Go there
        </button>
      </div>
      {!items.length && <p className="empty">Nothing more on this branch.</p>}
      {wholes(turnsOf(items)).map((turn) => (
        <article key={turn.id} className={turn.role === "user" ? "compare-said" : "compare-answer"}>
          {turn.role === "user" ? <p className="plain">{textOf(turn)}</p> : <AnswerWords turn={turn} />}
        </article>
      ))}
      {hasMore && <More onClick={more} />}
    </section>
  );
}
