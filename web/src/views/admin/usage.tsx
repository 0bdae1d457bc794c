import { useEffect, useState } from "react";
import { call, messageOf } from "../../api/client";
import type { Page } from "../../api/types";
import { money } from "../../state/models";
import { number, Problem, Table } from "../parts";
import { Bars } from "../plot";
import { dateOf, lastDays, sumsByDay, type Sums } from "../usage";

const PAGE = 100;
const MOST_PAGES = 50;
const SPANS = [7, 30, 90];

type Day = Sums & { date: string };

interface UserLine extends Sums {
  id: string;
  name: string | null;
}

interface Rated {
  model: string;
  good: number;
  bad: number;
}

/** What everybody used and what it cost, by the day and by person. */
export function AllUsage() {
  const [span, setSpan] = useState(7);
  const [lines, setLines] = useState<Day[] | null>(null);
  const [people, setPeople] = useState<UserLine[]>([]);
  const [rated, setRated] = useState<Rated[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const days = lastDays(span);
  const [start, end] = [days[0]!, days.at(-1)!];
  useEffect(() => {
    const ending = new AbortController();
    setLines(null);
    Promise.all([readDays(start, end, ending.signal), readUsers(start, end, ending.signal), readRatings(start, end, ending.signal)])
      .then(([read, found, ratings]) => {
        setLines(read);
        setPeople(found);
        setRated(ratings);
      })
      .catch((error: unknown) => ending.signal.aborted || setProblem(messageOf(error)));
    return () => ending.abort();
  }, [start, end]);
  const sums = sumsByDay(lines ?? [], days);
  const bars = (of: (sums: Sums) => number) => sums.map(([label, day]) => ({ label, value: of(day) }));
  const reading = lines === null && problem === null;
  return (
    <section aria-busy={reading}>
      <Problem text={problem} />
      <p className="row">
        <label className="check scope">
          The last
          <select value={span} onChange={(event) => setSpan(Number(event.target.value))}>
            {SPANS.map((days) => (
              <option key={days} value={days}>
                {days} days
              </option>
            ))}
          </select>
        </label>
        <span className="note" role="status">
          {reading && "Reading…"}
        </span>
      </p>
      <Bars title="Tokens" bars={bars((sums) => sums.input_tokens + sums.output_tokens)} format={number} />
      <Bars title="Cost" bars={bars((sums) => sums.cost)} format={money} />
      <Bars title="Answers" bars={bars((sums) => sums.requests)} format={number} />
      <h2>By person</h2>
      <Table label="By person" columns={["Name", "#Answers", "#Tokens in", "#Tokens out", "#Cost"]}>
        {[...people]
          .sort((one, other) => other.cost - one.cost || other.output_tokens - one.output_tokens)
          .map((one) => (
            <tr key={one.id}>
              <td>{one.name ?? one.id}</td>
              <td className="number">{number(one.requests)}</td>
              <td className="number">{number(one.input_tokens)}</td>
              <td className="number">{number(one.output_tokens)}</td>
              <td className="number">{money(one.cost)}</td>
            </tr>
          ))}
      </Table>
      <Ratings rated={rated} />
    </section>
  );
}

/** What people thought of the answers of each model. */
function Ratings({ rated }: { rated: Rated[] }) {
  return (
    <>
      <h2>Answers that people rated</h2>
      {!rated.length && <p className="empty">None in this time.</p>}
      {rated.length > 0 && (
        <Table label="Ratings" columns={["Model", "#Good", "#Bad"]}>
          {rated.map((one) => (
            <tr key={one.model}>
              <td>{one.model}</td>
              <td className="number">{number(one.good)}</td>
              <td className="number">{number(one.bad)}</td>
            </tr>
          ))}
        </Table>
      )}
    </>
  );
}

async function readRatings(start: string, end: string, signal: AbortSignal): Promise<Rated[]> {
  return (await call<Page<Rated>>("/v1/admin/ratings", { query: { start, end }, signal })).data;
}

async function readDays(start: string, end: string, signal: AbortSignal): Promise<Day[]> {
  const query = { start, end, together: true };
  const { data } = await call<Page<Sums & { start_at: number }>>("/v1/admin/usage/series", { query, signal });
  return data.map((one) => ({ ...one, date: dateOf(one.start_at) }));
}

async function readUsers(start: string, end: string, signal: AbortSignal): Promise<UserLine[]> {
  const found: UserLine[] = [];
  for (let count = 0; count < MOST_PAGES; count++) {
    const query = { start, end, limit: PAGE, after: found.at(-1)?.id };
    const page = await call<Page<UserLine>>("/v1/admin/usage", { query, signal });
    found.push(...page.data);
    if (!page.has_more) break;
  }
  return found;
}
