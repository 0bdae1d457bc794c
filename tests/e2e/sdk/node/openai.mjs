// The official Node SDK.

import OpenAI, { toFile } from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import {
  CODE_WORD,
  RECALL,
  REMEMBER,
  TAKE_FOREVER,
  TAKE_YOUR_TIME,
  apiKey,
  baseURL,
  collect,
  eventually,
  run,
  weatherParameters,
} from "./cases.mjs";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });

const Place = z.object({
  name: z.string(),
  population: z.number().int(),
  capital: z.boolean(),
  districts: z.array(z.string()),
});
const responsesTool = { type: "function", name: "get_weather", parameters: weatherParameters, strict: true };
const chatTool = { type: "function", function: { name: "get_weather", parameters: weatherParameters } };
const hello = [{ role: "user", content: "Hello" }];

const missing = async (promise) => {
  try {
    await promise;
    return { thrown: null };
  } catch (error) {
    return {
      thrown: error.constructor.name,
      status: error.status,
      code: error.code,
      type: error.type,
      param: error.param,
    };
  }
};

function nextTurn(socket, request) {
  return new Promise((resolve, reject) => {
    const events = [];
    const ends = new Set(["response.completed", "response.failed", "response.incomplete"]);
    const done = (settle, value) => {
      socket.off("event", onEvent);
      socket.off("error", onError);
      settle(value);
    };
    const onEvent = (event) => {
      events.push(event);
      if (ends.has(event.type)) done(resolve, events);
    };
    const onError = (error) => done(reject, error);
    socket.on("event", onEvent);
    socket.on("error", onError);
    socket.send({ type: "response.create", ...request });
  });
}

await run({
  async text() {
    const { id, status, output_text, usage, _request_id } = await client.responses.create({
      model: "scripted/text",
      input: "Hello",
    });
    return { id, status, output_text, usage, _request_id };
  },

  async stream() {
    const events = await collect(
      await client.responses.create({ model: "scripted/text", input: "Hello", stream: true }),
    );
    return {
      numbers: events.map((event) => event.sequence_number),
      types: events.map((event) => event.type),
      text: events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join(""),
      final: events.at(-1).response.output[0].content[0].text,
    };
  },

  async stream_helper() {
    const stream = client.responses.stream({ model: "scripted/text", input: "Hello" });
    let text = "";
    stream.on("response.output_text.delta", (event) => (text += event.delta));
    const final = await stream.finalResponse();
    return { text, final: final.output_text };
  },

  async tools() {
    const asked = await client.responses.create({
      model: "scripted/tools",
      input: "Weather?",
      tools: [responsesTool],
    });
    const call = asked.output.find((item) => item.type === "function_call");
    const told = await client.responses.create({
      model: "scripted/tools",
      previous_response_id: asked.id,
      input: [{ type: "function_call_output", call_id: call.call_id, output: "18 degrees" }],
      tools: [responsesTool],
    });
    return { name: call.name, arguments: call.arguments, answer: told.output_text };
  },

  async streamed_tools() {
    const stream = client.responses.stream({
      model: "scripted/tools",
      input: "Weather?",
      tools: [responsesTool],
    });
    let deltas = "";
    stream.on("response.function_call_arguments.delta", (event) => (deltas += event.delta));
    const final = await stream.finalResponse();
    return { deltas, arguments: final.output[0].arguments };
  },

  async structured() {
    const response = await client.responses.parse({
      model: "scripted/json",
      input: "Describe Paris.",
      text: { format: zodTextFormat(Place, "place") },
    });
    return Place.parse(response.output_parsed);
  },

  async previous_response() {
    const first = await client.responses.create({ model: "scripted/echo", input: REMEMBER });
    const second = await client.responses.create({
      model: "scripted/echo",
      input: RECALL,
      previous_response_id: first.id,
    });
    return second.output_text;
  },

  async conversation() {
    const made = await client.conversations.create({ metadata: { topic: "demo" } });
    await client.responses.create({ model: "scripted/echo", input: REMEMBER, conversation: made.id });
    const second = await client.responses.create({
      model: "scripted/echo",
      input: RECALL,
      conversation: made.id,
    });
    const texts = [];
    for await (const item of client.conversations.items.list(made.id, { order: "asc", limit: 1 })) {
      texts.push(item.content[0].text);
    }
    const deleted = await client.conversations.delete(made.id);
    return {
      id: made.id,
      metadata: made.metadata,
      inResponse: second.conversation,
      texts,
      deleted,
      after: await missing(client.conversations.retrieve(made.id)),
    };
  },

  async background_resumed() {
    const stream = await client.responses.create({
      model: "scripted/slow",
      input: TAKE_YOUR_TIME,
      background: true,
      stream: true,
    });
    const seen = [];
    for await (const event of stream) {
      seen.push(event);
      if (seen.length === 6) break;
    }
    const id = seen[0].response.id;
    const rest = await collect(
      await client.responses.retrieve(id, { stream: true, starting_after: seen.at(-1).sequence_number }),
    );
    return {
      seen: seen.map((event) => event.sequence_number),
      rest: rest.map((event) => event.sequence_number),
      last: rest.at(-1).type,
    };
  },

  async background_polled() {
    const started = await client.responses.create({
      model: "scripted/slow",
      input: TAKE_YOUR_TIME,
      background: true,
    });
    return eventually(async () => {
      const now = await client.responses.retrieve(started.id);
      return now.status === "completed" ? { started: started.status, text: now.output_text } : undefined;
    });
  },

  async cancelled() {
    const started = await client.responses.create({
      model: "scripted/slow",
      input: TAKE_FOREVER,
      background: true,
    });
    const first = await client.responses.cancel(started.id);
    const second = await client.responses.cancel(started.id);
    return [first.status, second.status, (await client.responses.retrieve(started.id)).status];
  },

  async input_items() {
    const response = await client.responses.create({
      model: "scripted/text",
      input: ["a", "b", "c"].map((content) => ({ role: "user", content })),
    });
    const texts = [];
    for await (const item of client.responses.inputItems.list(response.id, { limit: 2, order: "asc" })) {
      texts.push(item.content[0].text);
    }
    return texts;
  },

  async input_tokens_and_compact() {
    const counted = await client.responses.inputTokens.count({ model: "scripted/text", input: "Hello" });
    const compacted = await client.responses.compact({
      model: "scripted/echo",
      input: [
        { role: "user", content: REMEMBER },
        { role: "assistant", content: "I shall." },
      ],
    });
    const continued = await client.responses.create({
      model: "scripted/echo",
      input: [...compacted.output, { role: "user", content: RECALL }],
    });
    return {
      counted,
      object: compacted.object,
      types: compacted.output.map((item) => item.type),
      answer: continued.output_text,
    };
  },

  async chat() {
    const completion = await client.chat.completions.create({ model: "scripted/text", messages: hello });
    return { ...completion };
  },

  async chat_stream() {
    const chunks = await collect(
      await client.chat.completions.create({
        model: "scripted/text",
        messages: hello,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    return {
      text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
      finish: chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean),
      usage: chunks.at(-1).usage,
    };
  },

  async chat_tools() {
    const runner = client.chat.completions.runTools({
      model: "scripted/tools",
      messages: [{ role: "user", content: "Weather?" }],
      tools: [
        {
          type: "function",
          function: {
            name: "get_weather",
            parameters: weatherParameters,
            parse: JSON.parse,
            function: (given) => `${Object.keys(given).sort().join(" and ")} understood`,
          },
        },
      ],
    });
    return await runner.finalContent();
  },

  async chat_streamed_tools() {
    const stream = client.chat.completions.stream({
      model: "scripted/tools",
      messages: [{ role: "user", content: "Weather?" }],
      tools: [chatTool],
    });
    const final = await stream.finalChatCompletion();
    return {
      finish: final.choices[0].finish_reason,
      arguments: final.choices[0].message.tool_calls[0].function.arguments,
    };
  },

  async chat_structured() {
    const completion = await client.chat.completions.parse({
      model: "scripted/json",
      messages: hello,
      response_format: zodResponseFormat(Place, "place"),
    });
    return Place.parse(completion.choices[0].message.parsed);
  },

  async chat_stored() {
    const made = await client.chat.completions.create({
      model: "scripted/text",
      messages: hello,
      store: true,
      metadata: { suite: "node" },
    });
    const listed = [];
    for await (const completion of client.chat.completions.list({ metadata: { suite: "node" } })) {
      listed.push(completion.id);
    }
    const said = [];
    for await (const message of client.chat.completions.messages.list(made.id)) said.push(message.content);
    const deleted = await client.chat.completions.delete(made.id);
    return { id: made.id, listed, said, deleted, after: await missing(client.chat.completions.retrieve(made.id)) };
  },

  async documents() {
    const bytes = Buffer.from("The harbour master keeps the ledger.\n\n".repeat(200));
    const named = (name) => toFile(bytes, name);
    const file = await client.files.create({
      file: await named("a b.md"),
      purpose: "assistants",
      expires_after: { anchor: "created_at", seconds: 3600 },
    });
    const content = Buffer.from(await (await client.files.content(file.id)).arrayBuffer());
    const store = await client.vectorStores.create({ name: "docs", file_ids: [file.id] });
    const alone = await client.vectorStores.files.uploadAndPoll(store.id, await named("ä.md"), { pollIntervalMs: 50 });
    const batch = await client.vectorStores.fileBatches.uploadAndPoll(
      store.id,
      { files: [await named("c.md"), await named("d.md")] },
      { pollIntervalMs: 50 },
    );
    const listed = [];
    for await (const one of client.vectorStores.files.list(store.id, { limit: 2 })) listed.push(one.id);
    const upload = await client.uploads.create({
      filename: "big.txt",
      bytes: bytes.length,
      mime_type: "text/plain",
      purpose: "assistants",
    });
    const part = await client.uploads.parts.create(upload.id, { data: await named("part") });
    const completed = await client.uploads.complete(upload.id, { part_ids: [part.id] });
    const deleted = await client.vectorStores.delete(store.id);
    return {
      file,
      same: content.equals(bytes),
      alone: alone.status,
      batch: batch.file_counts,
      listed: listed.length,
      completed: [completed.status, completed.file.bytes === bytes.length],
      deleted,
      after: await missing(client.vectorStores.retrieve(store.id)),
    };
  },

  async errors() {
    return {
      model: await missing(client.responses.create({ model: "nobody/nothing", input: "Hello" })),
      previous: await missing(
        client.responses.create({
          model: "scripted/text",
          input: "Hello",
          previous_response_id: `resp_${"0".repeat(32)}`,
        }),
      ),
      response: await missing(client.responses.retrieve(`resp_${"0".repeat(32)}`)),
      input: await missing(client.responses.create({ model: "scripted/text", input: 5 })),
    };
  },

  async websocket() {
    const socket = new ResponsesWS(client);
    try {
      const first = await nextTurn(socket, { model: "scripted/echo", input: REMEMBER, store: false });
      const second = await nextTurn(socket, {
        model: "scripted/echo",
        input: RECALL,
        store: false,
        previous_response_id: first.at(-1).response.id,
      });
      return {
        numbers: first.map((event) => event.sequence_number),
        remembered: second.at(-1).response.output[0].content[0].text.includes(CODE_WORD),
      };
    } finally {
      socket.close();
    }
  },
});
