import { resolved } from './fields/schema-field.js';

/**
 * What is served, in the order of the service's own list.
 * @param {Object} models  the answer of `/v1/models`
 * @returns {{task: string, models: {id: string, path: string}[]}[]}
 */
export function servedTasks(models) {
  const tasks = new Map();
  for (const { id, task, paths } of models.data) {
    if (!tasks.has(task)) tasks.set(task, []);
    tasks.get(task).push({ id, path: paths[0] });
  }
  return [...tasks].map(([task, served]) => ({ task, models: served }));
}

/**
 * What the OpenAPI document says of a model's path.
 * @returns {{medium: string, schema: Object, example: Object, summary: string, document: Object}} `medium` is 'text',
 *   'image' or 'audio'
 */
export function described(document, path, task) {
  const content = document.paths[path]?.post?.requestBody?.content ?? {};
  const { schema = {}, example } = content['application/json'] ?? {};
  const medium = ['image', 'audio'].find((each) => `${each}/*` in content) ?? 'text';
  const summary = document.tags?.find(({ name }) => name === task)?.description ?? '';
  return { medium, schema: resolved(schema, document), example, summary, document };
}
