/** How one wants to be answered, in all chats: kept with the account, and sent along with every question. */

import { changePreference, readPreferences } from "./preferences";

const NAME = "answers";

export interface Manner {
  instructions?: string;
  temperature?: number;
  max_output_tokens?: number;
}

export async function readManner(): Promise<Manner> {
  return mannerIn((await readPreferences())[NAME]);
}

export async function keepManner(manner: Manner): Promise<void> {
  await changePreference(NAME, () => manner);
}

/** What is of another kind than it should be was put there by somebody else, and is not sent. */
function mannerIn(found: unknown): Manner {
  if (typeof found !== "object" || found === null) return {};
  const { instructions, temperature, max_output_tokens } = found as Record<string, unknown>;
  return {
    ...(typeof instructions === "string" && instructions ? { instructions } : {}),
    ...(typeof temperature === "number" ? { temperature } : {}),
    ...(typeof max_output_tokens === "number" ? { max_output_tokens } : {}),
  };
}
