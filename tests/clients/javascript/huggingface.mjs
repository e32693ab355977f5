// Asks with Hugging Face's client: `{method, arguments}`. A file in the arguments is `{file, type}`; of a stream the
// answer is the list of its pieces.
import { readFile } from "node:fs/promises";
import { InferenceClient } from "@huggingface/inference";
import { pieces, tell } from "./answer.mjs";

async function withFiles(value) {
  if (Array.isArray(value)) return Promise.all(value.map(withFiles));
  if (value === null || typeof value !== "object") return value;
  if ("file" in value) return new Blob([await readFile(value.file)], { type: value.type });
  const entries = Object.entries(value).map(async ([key, inner]) => [key, await withFiles(inner)]);
  return Object.fromEntries(await Promise.all(entries));
}

await tell(async ({ method, arguments: args }) => {
  const answer = new InferenceClient()[method](await withFiles(args));
  return Symbol.asyncIterator in answer ? pieces(answer) : answer;
});
