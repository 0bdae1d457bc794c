// Runs a program's cases one after the other and prints what each found as one JSON object:
// {name: {found: …}} or {name: {error: …}}. What is right is decided by pytest, which reads it.

export const [, , baseURL] = process.argv;
export const apiKey = "sk-any";

export const CODE_WORD = "cobalt-7319";
export const REMEMBER = `The code word is ${CODE_WORD}.`;
export const RECALL = "recall 1";
export const TAKE_YOUR_TIME = "tokens=40 delay_ms=20";
export const TAKE_FOREVER = "tokens=3000 delay_ms=20";

export const weatherParameters = {
  type: "object",
  properties: {
    location: { type: "string", description: "City and country" },
    unit: { type: "string", enum: ["celsius", "fahrenheit"] },
  },
  required: ["location", "unit"],
  additionalProperties: false,
};

const CASE_SECONDS = 40;

export async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

// The first thing `probe` returns that is not undefined; throws when the time is up.
export async function eventually(probe, seconds = 30) {
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    const found = await probe();
    if (found !== undefined) return found;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  throw new Error(`nothing within ${seconds} s`);
}

function timeout(name) {
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} took more than ${CASE_SECONDS} s`)), CASE_SECONDS * 1000);
  });
  return { expired, stop: () => clearTimeout(timer) };
}

export async function run(cases) {
  const results = {};
  for (const [name, body] of Object.entries(cases)) {
    const { expired, stop } = timeout(name);
    try {
      results[name] = { found: await Promise.race([body(), expired]) };
    } catch (error) {
      results[name] = { error: `${error.stack ?? error}\n${JSON.stringify(error)}` };
    } finally {
      stop();
    }
  }
  process.stdout.write(JSON.stringify(results), () => process.exit(0));
}
