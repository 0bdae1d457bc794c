// The Vercel AI SDK with @ai-sdk/openai-compatible: chat completions as any compatible server speaks them.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { RECALL, REMEMBER, apiKey, baseURL, collect, run, weatherParameters } from "./cases.mjs";

const provider = createOpenAICompatible({
  name: "antiphon",
  baseURL,
  apiKey,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const maxRetries = 0;

const Place = z.object({
  name: z.string(),
  population: z.number().int(),
  capital: z.boolean(),
  districts: z.array(z.string()),
});

await run({
  async text() {
    const { text, finishReason, usage } = await generateText({
      model: provider("scripted/text"),
      prompt: "Hello",
      maxRetries,
    });
    return { text, finishReason, usage };
  },

  async stream() {
    const result = streamText({ model: provider("scripted/text"), prompt: "Hello", maxRetries });
    return {
      text: (await collect(result.textStream)).join(""),
      whole: await result.text,
      finishReason: await result.finishReason,
      usage: await result.usage,
    };
  },

  async tools() {
    const given = [];
    const result = streamText({
      model: provider("scripted/tools"),
      prompt: "Weather?",
      tools: {
        get_weather: tool({
          inputSchema: jsonSchema(weatherParameters),
          execute: async (input) => {
            given.push(input);
            return "18 degrees";
          },
        }),
      },
      stopWhen: stepCountIs(3),
      maxRetries,
    });
    return { text: await result.text, given };
  },

  async structured() {
    const { output } = await generateText({
      model: provider("scripted/json"),
      prompt: "Describe Paris.",
      output: Output.object({ schema: Place }),
      maxRetries,
    });
    return output;
  },

  async messages() {
    const { text } = await generateText({
      model: provider("scripted/echo"),
      messages: [
        { role: "user", content: REMEMBER },
        { role: "assistant", content: "I shall." },
        { role: "user", content: RECALL },
      ],
      maxRetries,
    });
    return text;
  },

  async reasoning() {
    const result = streamText({ model: provider("scripted/reasoning"), prompt: "Think.", maxRetries });
    return { reasoning: await result.reasoningText, text: await result.text };
  },

  async failure() {
    try {
      await generateText({ model: provider("scripted/fail-before"), prompt: "Hello", maxRetries });
      return null;
    } catch (error) {
      return { name: error.name, status: error.statusCode, retryable: error.isRetryable };
    }
  },
});
