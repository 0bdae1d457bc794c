// The Vercel AI SDK with @ai-sdk/openai: the Responses API, and chat completions beside it.

import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { RECALL, REMEMBER, apiKey, baseURL, collect, run, weatherParameters } from "./cases.mjs";

const provider = createOpenAI({ baseURL, apiKey });
const maxRetries = 0;

const Place = z.object({
  name: z.string(),
  population: z.number().int(),
  capital: z.boolean(),
  districts: z.array(z.string()),
});
const given = [];
const tools = {
  get_weather: tool({
    description: "The weather at a place",
    inputSchema: jsonSchema(weatherParameters),
    execute: async (input) => {
      given.push(input);
      return "18 degrees";
    },
  }),
};

// The same questions to both of the provider's APIs.
function common(prefix, pick) {
  return {
    async [`${prefix}_text`]() {
      const { text, finishReason, usage } = await generateText({
        model: pick("scripted/text"),
        prompt: "Hello",
        maxRetries,
      });
      return { text, finishReason, usage };
    },

    async [`${prefix}_stream`]() {
      const result = streamText({ model: pick("scripted/text"), prompt: "Hello", maxRetries });
      const parts = await collect(result.fullStream);
      return {
        parts: [...new Set(parts.map((part) => part.type))],
        errors: parts.filter((part) => part.type === "error").map((part) => String(part.error)),
        text: parts.map((part) => (part.type === "text-delta" ? part.text : "")).join(""),
        whole: await result.text,
        finishReason: await result.finishReason,
        usage: await result.usage,
      };
    },

    async [`${prefix}_tools`]() {
      given.length = 0;
      const { text, steps } = await generateText({
        model: pick("scripted/tools"),
        prompt: "Weather?",
        tools,
        stopWhen: stepCountIs(3),
        maxRetries,
      });
      return { text, steps: steps.map((step) => step.finishReason), given: [...given] };
    },

    async [`${prefix}_streamed_tools`]() {
      given.length = 0;
      const result = streamText({
        model: pick("scripted/tools"),
        prompt: "Weather?",
        tools,
        stopWhen: stepCountIs(3),
        maxRetries,
      });
      return { text: await result.text, steps: (await result.steps).length, given: [...given] };
    },

    async [`${prefix}_structured`]() {
      const { output } = await generateText({
        model: pick("scripted/json"),
        prompt: "Describe Paris.",
        output: Output.object({ schema: Place }),
        maxRetries,
      });
      return output;
    },

    async [`${prefix}_streamed_structured`]() {
      const result = streamText({
        model: pick("scripted/json"),
        prompt: "Describe Paris.",
        output: Output.object({ schema: Place }),
        maxRetries,
      });
      const partial = await collect(result.partialOutputStream);
      return { last: partial.at(-1), output: await result.output };
    },

    async [`${prefix}_messages`]() {
      const { text } = await generateText({
        model: pick("scripted/echo"),
        system: "Be brief.",
        messages: [
          { role: "user", content: REMEMBER },
          { role: "assistant", content: "I shall." },
          { role: "user", content: RECALL },
        ],
        maxRetries,
      });
      return text;
    },

    async [`${prefix}_truncated`]() {
      const { text, finishReason } = await generateText({
        model: pick("scripted/truncated"),
        prompt: "Go on.",
        maxRetries,
      });
      return { text, finishReason };
    },

    async [`${prefix}_failure`]() {
      try {
        await generateText({ model: pick("nobody/nothing"), prompt: "Hello", maxRetries });
        return null;
      } catch (error) {
        return { name: error.name, status: error.statusCode, code: error.data?.error?.code };
      }
    },

    async [`${prefix}_failed_stream`]() {
      const result = streamText({ model: pick("scripted/fail-after"), prompt: "Hello", maxRetries, onError() {} });
      const parts = await collect(result.fullStream);
      return {
        text: parts.map((part) => (part.type === "text-delta" ? part.text : "")).join(""),
        ends: parts.filter((part) => ["error", "finish"].includes(part.type)).map((part) => part.finishReason ?? part.type),
      };
    },
  };
}

await run({
  ...common("responses", (model) => provider.responses(model)),
  ...common("chat", (model) => provider.chat(model)),

  async previous_response() {
    const first = await generateText({ model: provider("scripted/echo"), prompt: REMEMBER, maxRetries });
    const second = await generateText({
      model: provider("scripted/echo"),
      prompt: RECALL,
      maxRetries,
      providerOptions: { openai: { previousResponseId: first.providerMetadata.openai.responseId } },
    });
    return second.text;
  },

  async conversation() {
    const made = await fetch(`${baseURL}/conversations`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
      body: "{}",
    }).then((answer) => answer.json());
    const providerOptions = { openai: { conversation: made.id } };
    const model = provider("scripted/echo");
    await generateText({ model, prompt: REMEMBER, maxRetries, providerOptions });
    const streamed = streamText({ model, prompt: RECALL, maxRetries, providerOptions });
    return await streamed.text;
  },

  async reasoning() {
    const { text, reasoningText, usage } = await generateText({
      model: provider("scripted/reasoning"),
      prompt: "Think.",
      maxRetries,
    });
    return { text, reasoningText, usage };
  },
});
