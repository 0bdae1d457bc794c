import { useState, type FormEvent } from "react";
import { call, messageOf } from "../../api/client";
import { Problem } from "../parts";

interface Hit {
  file_id: string;
  filename: string;
  score: number;
  content: { text: string }[];
  antiphon: { start: number; page: number | null; heading: string | null };
}

/** What the collection says to some words: the passages that an answer would be made from. */
export function SearchWithin({ id }: { id: string }) {
  const [hits, setHits] = useState<Hit[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const query = String(new FormData(event.currentTarget).get("query")).trim();
    if (!query) return;
    call<{ data: Hit[] }>(`/v1/vector_stores/${id}/search`, { body: { query } })
      .then(({ data }) => {
        setHits(data);
        setProblem(null);
      })
      .catch((error: unknown) => setProblem(messageOf(error)));
  };
  return (
    <section>
      <h2>Look something up</h2>
      <form className="row inline-form" role="search" onSubmit={submit}>
        <input name="query" type="search" aria-label="What to look for" placeholder="a question, or words" required maxLength={4096} />
        <button className="quiet">Search</button>
      </form>
      <Problem text={problem} />
      <p className="note" role="status">
        {hits?.length === 0 && "Nothing in here speaks of it."}
      </p>
      <ol className="passages">
        {hits?.map((hit) => (
          <li key={`${hit.file_id}:${hit.antiphon.start}`}>
            <p className="note">
              {[hit.filename, hit.antiphon.page && `page ${hit.antiphon.page}`, hit.antiphon.heading, `score ${hit.score.toFixed(2)}`]
                .filter(Boolean)
                .join(" · ")}
            </p>
            <p className="plain">{hit.content.map((part) => part.text).join("\n")}</p>
          </li>
        ))}
      </ol>
    </section>
  );
}
