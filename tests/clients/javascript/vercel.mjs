// Asks with Vercel's `ai` through its provider for services that speak OpenAI's API: `{method, url, model, arguments}`.
import { embedMany, generateText, jsonSchema, Output, streamText } from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { pieces, tell } from "./answer.mjs";

const methods = {
  async embedMany(provider, model, { values }) {
    const { embeddings, usage } = await embedMany({ model: provider.embeddingModel(model), values });
    return { embeddings, usage };
  },
  async generateText(provider, model, { schema, ...options }) {
    const output = schema && Output.object({ schema: jsonSchema(schema) });
    const told = await generateText({ model: provider(model), ...options, ...(output && { output }) });
    return { text: told.text, usage: told.usage, finishReason: told.finishReason, output: output && told.output };
  },
  async streamText(provider, model, options) {
    const errors = [];
    const told = streamText({ model: provider(model), ...options, onError: ({ error }) => errors.push(error) });
    const texts = await pieces(told.textStream);
    if (errors.length) throw errors[0];
    return { texts, usage: await told.usage, finishReason: await told.finishReason };
  },
  async completion(provider, model, options) {
    const told = await generateText({ model: provider.completionModel(model), ...options });
    return { text: told.text, usage: told.usage };
  },
};

await tell(({ method, url, model, arguments: args }) => {
  const provider = createOpenAICompatible({
    name: "automodel", baseURL: url, includeUsage: true, supportsStructuredOutputs: true,
  });
  return methods[method](provider, model, { maxRetries: 0, ...args });
});
