/** How one wants to be answered, in all chats: kept with the account, and sent along with every question. */

import { call } from "../api/client";
import { session } from "./session";

const PATH = "/v1/auth/preferences";
const KEY = "answers";

export interface Manner {
  instructions?: string;
  temperature?: number;
  max_output_tokens?: number;
}

interface Kept {
  values: Record<string, unknown>;
}

let reading: Promise<Manner> | null = null;

session.subscribe((now, before) => {
  if (now.me?.id !== before.me?.id) reading = null;
});

/** Asks once for each who logs in; what fails is asked again with the next question. */
export function readManner(): Promise<Manner> {
  reading ??= call<Kept>(PATH)
    .then(({ values }) => mannerIn(values))
    .catch((error: unknown) => {
      reading = null;
      throw error;
    });
  return reading;
}

/** Keeps it beside what other programs keep there. */
export async function keepManner(manner: Manner): Promise<void> {
  const { values } = await call<Kept>(PATH);
  await call(PATH, { method: "PUT", body: { values: { ...values, [KEY]: manner } } });
  reading = Promise.resolve(manner);
}

/** What is of another kind than it should be was put there by somebody else, and is not sent. */
function mannerIn(values: Record<string, unknown>): Manner {
  const found = values[KEY];
  if (typeof found !== "object" || found === null) return {};
  const { instructions, temperature, max_output_tokens } = found as Record<string, unknown>;
  return {
    ...(typeof instructions === "string" && instructions ? { instructions } : {}),
    ...(typeof temperature === "number" ? { temperature } : {}),
    ...(typeof max_output_tokens === "number" ? { max_output_tokens } : {}),
  };
}
