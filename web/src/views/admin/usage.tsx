import { useEffect, useState } from "react";
import { call, messageOf } from "../../api/client";
import type { Page } from "../../api/types";
import { money, number, Problem, Table } from "../parts";
import { Bars } from "../plot";
import { lastDays, NOTHING, plus, type Sums } from "../usage";

const PAGE = 100;
const MOST_PAGES = 50;
const AT_ONCE = 4;
const SPANS = [7, 30, 90];

interface UserLine extends Sums {
  id: string;
  name: string | null;
}

/** What everybody used and what it cost, by the day and by person. */
export function AllUsage() {
  const [span, setSpan] = useState(7);
  const [byDay, setByDay] = useState<ReadonlyMap<string, Sums>>(new Map());
  const [people, setPeople] = useState<UserLine[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const ending = new AbortController();
    const days = lastDays(span);
    const waiting = [...days].reverse();
    setByDay(new Map());
    // The server sums by person for any days; a day at a time makes the plot.
    const work = async () => {
      for (let day = waiting.shift(); day && !ending.signal.aborted; day = waiting.shift()) {
        const sums = (await readUsers(day, day, ending.signal)).reduce<Sums>(plus, NOTHING);
        setByDay((known) => new Map([...known, [day, sums]]));
      }
    };
    Promise.all([
      readUsers(days[0]!, days.at(-1)!, ending.signal).then(setPeople),
      ...Array.from({ length: AT_ONCE }, work),
    ]).catch((error: unknown) => ending.signal.aborted || setProblem(messageOf(error)));
    return () => ending.abort();
  }, [span]);
  const bars = (of: (sums: Sums) => number) => lastDays(span).map((label) => ({ label, value: of(byDay.get(label) ?? NOTHING) }));
  const reading = byDay.size < span;
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
    </section>
  );
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
