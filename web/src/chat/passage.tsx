import { useContext, useEffect, useRef, useState } from "react";
import { call, messageOf } from "../api/client";
import type { Excerpt } from "../api/types";
import { Dialog } from "../frame/dialog";
import { ShownAt } from "./pictures";

const AROUND = 1200;

interface Text {
  text: string;
}

/**
 * The passage that is cited or was found, with its words marked where they stand in the file. Who only has a link to the
 * chat has no file: to them, and where the file cannot be read, the words alone are shown.
 */
export default function Passage({ excerpt, onClose }: { excerpt: Excerpt; onClose: () => void }) {
  const [parts, setParts] = useState<[string, string, string] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const mark = useRef<HTMLElement>(null);
  const place = excerpt.antiphon;
  const byLink = useContext(ShownAt) !== null;
  useEffect(() => {
    if (!place || byLink) return;
    const start = Math.max(place.start - AROUND, 0);
    call<Text>(`/v1/files/${excerpt.file_id}/versions/${place.version}/text`, {
      query: { start, end: place.end + AROUND },
    })
      .then(({ text }) => {
        const points = Array.from(text);
        const [first, last] = [place.start - start, place.end - start];
        setParts([points.slice(0, first).join(""), points.slice(first, last).join(""), points.slice(last).join("")]);
      })
      .catch((error: unknown) => setProblem(messageOf(error)));
  }, [excerpt, place, byLink]);
  useEffect(() => void mark.current?.scrollIntoView({ block: "center" }), [parts]);
  const where = [place?.page ? `page ${place.page}` : null, place?.heading].filter(Boolean).join(" · ");
  return (
    <Dialog title={excerpt.filename} onClose={onClose} wide>
      {where && <p className="where">{where}</p>}
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {(problem || byLink) && place?.quote && (
        <blockquote>
          <mark>{place.quote}</mark>
        </blockquote>
      )}
      {parts && (
        <div className="passage" tabIndex={0} role="region" aria-label="Passage">
          {parts[0]}
          <mark ref={mark}>{parts[1]}</mark>
          {parts[2]}
        </div>
      )}
    </Dialog>
  );
}
