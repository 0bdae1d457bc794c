import { useEffect, useState } from "react";
import { messageOf } from "../../api/client";
import { number, Problem, Table } from "../parts";
import { Line } from "../plot";
import { quantile, readMetrics, sum, type Sample } from "./metrics";

const EVERY_MILLISECONDS = 5000;
const KEPT = 60;

interface Look {
  at: number;
  samples: Sample[];
}

/** What the server is doing, looked at every five seconds as long as one looks. */
export function Now() {
  const [looks, setLooks] = useState<Look[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    let ended = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      try {
        const samples = await readMetrics();
        if (ended) return;
        setLooks((before) => [...before.slice(1 - KEPT), { at: Date.now(), samples }]);
        setProblem(null);
      } catch (error) {
        if (!ended) setProblem(messageOf(error));
      }
      if (!ended) timer = setTimeout(() => void look(), EVERY_MILLISECONDS);
    };
    void look();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, []);
  const last = looks.at(-1)?.samples;
  if (!last) return <Problem text={problem} />;
  const over = (name: string) => looks.map(({ samples }) => sum(samples, name));
  return (
    <section>
      <Problem text={problem} />
      <div className="plots">
        <Line title="Answers being made" values={over("antiphon_runs_live")} format={number} most={KEPT} />
        <Line title="Open streams" values={over("antiphon_followers_open")} format={number} most={KEPT} />
        <Line title="Requests a minute" values={rates(looks, "antiphon_http_requests_total")} format={rounded} most={KEPT} />
        <Line title="Errors a minute" values={rates(looks, "antiphon_http_requests_total", (labels) => Number(labels.status) >= 500)} format={rounded} most={KEPT} />
        <Line title="Tokens a minute" values={rates(looks, "antiphon_tokens_total")} format={rounded} most={KEPT} />
        <Line title="Memory, MB" values={over("process_resident_memory_bytes").map((value) => value / 1e6)} format={rounded} most={KEPT} />
      </div>
      <Health samples={last} />
      <Answers samples={last} />
      <Requests samples={last} />
    </section>
  );
}

function rounded(value: number): string {
  return value < 10 ? value.toFixed(1) : number(Math.round(value));
}

/** What was counted from one look to the next, by the minute. */
function rates(looks: Look[], name: string, wanted?: (labels: Sample["labels"]) => boolean): number[] {
  const values: number[] = [];
  for (let index = 1; index < looks.length; index++) {
    const [before, after] = [looks[index - 1]!, looks[index]!];
    const grown = Math.max(sum(after.samples, name, wanted) - sum(before.samples, name, wanted), 0);
    values.push((grown * 60_000) / Math.max(after.at - before.at, 1));
  }
  return values;
}

function Health({ samples }: { samples: Sample[] }) {
  const lag = quantile(samples, "antiphon_event_loop_lag_seconds", 0.99);
  const tick = quantile(samples, "antiphon_journal_tick_seconds", 0.99);
  const facts: [string, string][] = [
    ["Store", sum(samples, "antiphon_storage_healthy") ? "read and written" : "not answering"],
    ["Shutting down", sum(samples, "antiphon_draining") ? "yes" : "no"],
    ["Event loop, 99 of 100 turns", milliseconds(lag)],
    ["Writing the journal, 99 of 100", milliseconds(tick)],
    ["Messages not searched yet", number(sum(samples, "antiphon_history_waiting"))],
    ["Wrong logins", number(sum(samples, "antiphon_login_failures_total"))],
    ["Refused by limits", number(sum(samples, "antiphon_rate_limited_total"))],
  ];
  return (
    <section>
      <h2>Health</h2>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <FactLine key={name} name={name} value={value} />
        ))}
      </dl>
    </section>
  );
}

function FactLine({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}

function milliseconds(seconds: number | null): string {
  if (seconds === null) return "–";
  return seconds === Infinity ? "beyond what is measured" : `within ${+(seconds * 1000).toFixed(1)} ms`;
}

/** Answers since the server began, by model: how many, how long, how many failed. */
function Answers({ samples }: { samples: Sample[] }) {
  const models = [
    ...new Set(samples.filter((one) => one.name === "antiphon_runs_total").map((one) => `${one.labels.provider}/${one.labels.model}`)),
  ];
  if (!models.length) return null;
  return (
    <section>
      <h2>Answers since the server began</h2>
      <Table label="Answers by model" columns={["Model", "#Answers", "#Failed", "#Mean time", "#Tokens"]}>
        {models.map((name) => {
          const is = (labels: Sample["labels"]) => `${labels.provider}/${labels.model}` === name;
          const count = sum(samples, "antiphon_runs_total", is);
          const failed = sum(samples, "antiphon_runs_total", (labels) => is(labels) && labels.state === "failed");
          const seconds = sum(samples, "antiphon_run_seconds_total", is) / count;
          return (
            <tr key={name}>
              <td>{name}</td>
              <td className="number">{number(count)}</td>
              <td className="number">{number(failed)}</td>
              <td className="number">{seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`}</td>
              <td className="number">{number(sum(samples, "antiphon_tokens_total", (labels) => is(labels) && labels.kind !== "cached_input"))}</td>
            </tr>
          );
        })}
      </Table>
    </section>
  );
}

/** Requests that were not answered as asked, by route. */
function Requests({ samples }: { samples: Sample[] }) {
  const wrong = samples
    .filter((one) => one.name === "antiphon_http_requests_total" && Number(one.labels.status) >= 400)
    .sort((one, other) => Number(other.labels.status) - Number(one.labels.status) || other.value - one.value)
    .slice(0, 20);
  return (
    <section>
      <h2>Errors since the server began</h2>
      {!wrong.length && <p className="empty">None.</p>}
      {wrong.length > 0 && (
        <Table label="Errors by route" columns={["Status", "Route", "#Count"]}>
          {wrong.map(({ labels, value }) => (
            <tr key={`${labels.method} ${labels.route} ${labels.status}`}>
              <td>
                <span className={Number(labels.status) >= 500 && labels.status !== "499" ? "badge bad" : "badge"}>{labels.status}</span>
              </td>
              <td>
                {labels.method} {labels.route}
              </td>
              <td className="number">{number(value)}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}
