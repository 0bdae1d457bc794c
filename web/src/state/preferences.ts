/** What clients of this account remember, in one object on the server: the same for all devices. */

import { call } from "../api/client";
import { session } from "./session";

const PATH = "/v1/auth/preferences";

export type Values = Record<string, unknown>;

let reading: Promise<Values> | null = null;

session.subscribe((now, before) => {
  if (now.me?.id !== before.me?.id) reading = null;
});

/** Asks once for each who logs in; what fails is asked again with the next look. */
export function readPreferences(): Promise<Values> {
  reading ??= read().catch((error: unknown) => {
    reading = null;
    throw error;
  });
  return reading;
}

/** Changes one of them as it is on the server, beside the others: another device may have changed them meanwhile. */
export async function changePreference<T>(name: string, change: (found: unknown) => T): Promise<T> {
  const found = await read();
  const value = change(found[name]);
  const values = { ...found, [name]: value };
  await call(PATH, { method: "PUT", body: { values } });
  reading = Promise.resolve(values);
  return value;
}

async function read(): Promise<Values> {
  return (await call<{ values: Values }>(PATH)).values;
}
