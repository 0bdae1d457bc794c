import { useEffect, useState } from "react";
import { call, messageOf } from "../../api/client";
import type { Page } from "../../api/types";
import { money } from "../../state/models";
import { number, Problem, Table } from "../parts";
import { Bars } from "../plot";
import { lastDays, sumsByDay, type Sums } from "../usage";

const PAGE = 100;
const MOST_PAGES = 20;
const DAYS = 30;

interface Line extends Sums {
  id: string;
  date: string;
  model: string;
}

interface Limit {
  id: string;
  scope: string;
  metric: "requests" | "tokens" | "cost";
  period: string;
  amount: number;
  model: string | null;
  used: number;
  reserved: number;
  remaining: number;
  reset_seconds: number;
}

/** What one has used in 30 days, and how much is left of what one may. */
export function Usage() {
  const [lines, setLines] = useState<Line[] | null>(null);
  const [limits, setLimits] = useState<Limit[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    Promise.all([readLines(), call<Page<Limit>>("/v1/usage/limits")])
      .then(([read, standing]) => {
        setLines(read);
        setLimits(standing.data);
      })
      .catch((error: unknown) => setProblem(messageOf(error)));
  }, []);
  if (!lines || !limits) return <Problem text={problem} />;
  const days = sumsByDay(lines, lastDays(DAYS));
  const models = new Map<string, Line[]>();
  for (const line of lines) models.set(line.model, [...(models.get(line.model) ?? []), line]);
  return (
    <section>
      <h2>What you may use</h2>
      {limits.length === 0 && <p className="note">Nothing limits you.</p>}
      <div className="meters">
        {limits.map((one) => (
          <LimitMeter key={one.id} limit={one} />
        ))}
      </div>
      <h2>The last {DAYS} days</h2>
      <Bars title="Tokens" bars={days.map(([label, sums]) => ({ label, value: sums.input_tokens + sums.output_tokens }))} format={number} />
      <Table label="By model" columns={["Model", "#Answers", "#Tokens in", "#Tokens out", "#Cost"]}>
        {[...models].map(([model, of]) => (
          <tr key={model}>
            <td>{model}</td>
            <td className="number">{number(total(of, "requests"))}</td>
            <td className="number">{number(total(of, "input_tokens"))}</td>
            <td className="number">{number(total(of, "output_tokens"))}</td>
            <td className="number">{money(total(of, "cost"))}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

function total(lines: Line[], name: keyof Sums): number {
  return lines.reduce((sum, line) => sum + line[name], 0);
}

async function readLines(): Promise<Line[]> {
  const found: Line[] = [];
  for (let count = 0; count < MOST_PAGES; count++) {
    const page = await call<Page<Line>>("/v1/usage", { query: { limit: PAGE, after: found.at(-1)?.id } });
    found.push(...page.data);
    if (!page.has_more) break;
  }
  return found;
}

function LimitMeter({ limit }: { limit: Limit }) {
  const shown = limit.metric === "cost" ? money : number;
  const taken = limit.used + limit.reserved;
  const what = `${limit.metric} a ${limit.period}${limit.model ? ` of ${limit.model}` : ""}`;
  return (
    <div>
      <div className="row">
        <span className="grow">{what}</span>
        <span className="note">
          {shown(taken)} of {shown(limit.amount)}, anew in {duration(limit.reset_seconds)}
        </span>
      </div>
      <meter aria-label={`Used: ${what}`} min={0} max={limit.amount || 1} high={limit.amount * 0.9} optimum={0} value={Math.min(taken, limit.amount)} />
    </div>
  );
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
