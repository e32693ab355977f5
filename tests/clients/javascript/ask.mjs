// Asks with Hugging Face's client: reads `{method, arguments}` as JSON, prints `{answer}` or `{error, status}`.
// A file in the arguments is `{file, type}`; of a stream the answer is the list of its pieces.
import { readFile } from "node:fs/promises";
import { InferenceClient } from "@huggingface/inference";

async function withFiles(value) {
  if (Array.isArray(value)) return Promise.all(value.map(withFiles));
  if (value === null || typeof value !== "object") return value;
  if ("file" in value) return new Blob([await readFile(value.file)], { type: value.type });
  const entries = Object.entries(value).map(async ([key, inner]) => [key, await withFiles(inner)]);
  return Object.fromEntries(await Promise.all(entries));
}

async function ask({ method, arguments: args }) {
  const answer = new InferenceClient()[method](await withFiles(args));
  if (!(Symbol.asyncIterator in answer)) return answer;
  const pieces = [];
  for await (const piece of answer) pieces.push(piece);
  return pieces;
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
const told = await ask(JSON.parse(input)).then(
  (answer) => ({ answer }),
  (error) => ({ error: error.message, status: error.httpResponse?.status }),
);
process.stdout.write(JSON.stringify(told));
