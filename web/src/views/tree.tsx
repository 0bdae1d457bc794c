import { useEffect, useMemo, useRef, useState, type FormEvent } from "react";
import { Dialog, Submit } from "../frame/dialog";
import { Icon } from "../frame/icons";
import { shownBranch, forkAt, branchFrom, goToPlace, keyOf, noteKnown, pathOf, readPreviews, usePreviews, type Preview } from "../state/places";
import { chat, isViewer, useChat } from "../state/chat";
import { tell, tellError } from "../state/notices";
import { go } from "../state/router";
import { Branches } from "./tree/branches";
import { Drawing } from "./tree/drawing";
import { layoutOf, type Layout, type Spot } from "./tree/layout";
import { Outline } from "./tree/outline";
import { wordsOf } from "./tree/painting";
import "../styles/views.css";
import "../styles/tree.css";

type Below = "outline" | "branches";

/** The whole conversation: drawn, as an outline, and by the names of its branches. */
export default function Tree() {
  const id = useChat((state) => state.id);
  const segments = useChat((state) => state.segments);
  const branches = useChat((state) => state.branches);
  const branch = useChat(shownBranch);
  const mayWrite = !useChat(isViewer);
  const turns = useChat((state) => state.turns);
  const layout = useMemo(() => layoutOf(segments), [segments]);
  const lit = useMemo(() => pathOf(segments, branch), [segments, branch]);
  const [chosen, setChosen] = useState<string | null>(null);
  const [below, setBelow] = useState<Below>("outline");
  useEffect(() => noteKnown(chat.getState()), [segments, turns]);
  useEffect(() => setChosen(null), [id]);

  const choose = (spot: Spot) => {
    setChosen(spot.key);
    goToPlace(spot).catch(tellError);
  };
  const spot = layout.byKey.get(chosen ?? "");
  const names = useMemo(() => namesOf(branches, segments), [branches, segments]);
  return (
    <div className="tree-view">
      <Drawn layout={layout} lit={lit} names={names} chosen={chosen} onChoose={choose} />
      {spot && <Card spot={spot} mayWrite={mayWrite} />}
      <div className="tree-below">
        <div className="tabs" role="tablist" aria-label="Lists">
          {(["outline", "branches"] as const).map((one) => (
            <button key={one} role="tab" id={`tab-${one}`} aria-selected={below === one} aria-controls="tree-list" onClick={() => setBelow(one)}>
              {one === "outline" ? "Outline" : `Branches (${branches.length})`}
            </button>
          ))}
        </div>
        <div className="tree-list" id="tree-list" role="tabpanel" aria-labelledby={`tab-${below}`}>
          {below === "outline" ? (
            <Outline layout={layout} lit={lit} chosen={chosen} onChoose={choose} />
          ) : (
            <Branches mayWrite={mayWrite} />
          )}
        </div>
      </div>
    </div>
  );
}

function namesOf(
  branches: ReturnType<typeof chat.getState>["branches"],
  segments: ReturnType<typeof chat.getState>["segments"],
): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const branch of branches) {
    if (branch.alias_of) continue;
    // A branch without items of its own ends where its segment left another.
    let segment = segments.get(branch.head_segment_id);
    const depth = branch.item_count - 1;
    while (segment && depth <= segment.fork_depth && segment.parent_segment_id) {
      segment = segments.get(segment.parent_segment_id);
    }
    const key = keyOf({ segment: segment?.id ?? branch.head_segment_id, depth });
    names.set(key, [names.get(key), branch.name].filter(Boolean).join(", "));
  }
  return names;
}

function Drawn({
  layout,
  lit,
  names,
  chosen,
  onChoose,
}: {
  layout: Layout;
  lit: ReadonlyMap<string, number>;
  names: ReadonlyMap<string, string>;
  chosen: string | null;
  onChoose: (spot: Spot) => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawing = useRef<Drawing>(null);
  const choose = useRef(onChoose);
  choose.current = onChoose;
  const previews = usePreviews();
  const id = useChat((state) => state.id);
  useEffect(() => {
    const made = new Drawing(canvas.current!, {
      onChoose: (spot) => choose.current(spot),
      onMissing: (missing) => missing.forEach(readPreviews),
    });
    drawing.current = made;
    return () => made.end();
  }, [id]);
  useEffect(() => {
    drawing.current?.show({ layout, lit, previews, names, chosen });
  }, [layout, lit, previews, names, chosen, id]);
  useEffect(() => {
    if (chosen) drawing.current?.reveal(chosen);
  }, [chosen]);
  return (
    <div className="tree-map">
      <canvas
        ref={canvas}
        tabIndex={0}
        role="img"
        aria-label={`Drawing of the conversation with ${layout.spots.length} messages. Arrows move it, + and − zoom, 0 shows all. The outline below says the same in words.`}
      />
      <div className="tree-tools">
        <button className="icon" aria-label="Larger" onClick={() => drawing.current?.zoom(1.25)}>
          <Icon name="add" />
        </button>
        <button className="icon" aria-label="Smaller" onClick={() => drawing.current?.zoom(0.8)}>
          <Icon name="minus" />
        </button>
        <button className="icon" aria-label="Show all of it" onClick={() => drawing.current?.fit()}>
          <Icon name="fit" />
        </button>
      </div>
    </div>
  );
}

/** The chosen message, and what begins at it. */
function Card({ spot, mayWrite }: { spot: Spot; mayWrite: boolean }) {
  const preview = usePreviews().get(spot.key);
  const [naming, setNaming] = useState(false);
  if (!preview) return null;
  const fork = () =>
    forkAt(preview.id)
      .then((made) => {
        tell("This is the new chat; the other one stays as it is.");
        go("c", made.id);
      })
      .catch(tellError);
  return (
    <section className="tree-card" aria-label="The chosen message">
      <p>
        <strong>{preview.role === "user" ? "Asked" : preview.role === "assistant" ? "Answered" : preview.type}</strong>{" "}
        {wordsOf(preview)}
      </p>
      <div className="row">
        <button className="quiet small only-narrow" onClick={() => go("c", chat.getState().id!)}>
          Show in the chat
        </button>
        {mayWrite && (
          <button className="quiet small" onClick={() => setNaming(true)}>
            New branch from here
          </button>
        )}
        <button className="quiet small" onClick={() => void fork()}>
          Fork into a new chat
        </button>
      </div>
      {naming && <NewBranch from={preview} onClose={() => setNaming(false)} />}
    </section>
  );
}

function NewBranch({ from, onClose }: { from: Preview; onClose: () => void }) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget).get("name")).trim();
    if (!name) return;
    branchFrom(from.id, name)
      .then(() => {
        tell(`The branch “${name}” ends at this message.`);
        onClose();
      })
      .catch(tellError);
  };
  return (
    <Dialog title="A branch that ends here" onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <label>
          Name
          <input name="name" required maxLength={200} data-first />
        </label>
        <Submit onClose={onClose}>Make it</Submit>
      </form>
    </Dialog>
  );
}
