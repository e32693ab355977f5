import { h } from '../element.js';
import { textField } from '../fields/text-field.js';
import { markedAnswer } from '../views/marked-answer.js';

function form() {
  const question = textField({ label: 'Question', rows: 1 });
  const context = textField({ label: 'Context', rows: 5, hint: 'The answer is a stretch of this text, which may be of any length.' });
  return {
    element: h('div', { class: 'stack' }, question.element, context.element),
    read: () => ({ inputs: { question: question.read(), context: context.read() } }),
    fill: (example) => {
      question.fill(example.question);
      context.fill(example.context);
    },
  };
}

/** The answer to a question, marked in its context. */
export default {
  lead: 'The answer to a question, marked in the text that has it.',
  medium: 'text',
  form,
  examples: [
    { title: 'A scientist', question: 'Where was Marie Curie born?', context: 'Marie Curie was born in Warsaw in 1867 and moved to Paris to study physics.' },
    { title: 'A baker', question: 'What does Maria Smith do?', context: 'Maria Smith was born in Lisbon. She works as a baker and lives in Porto with her two sisters.' },
  ],
  view: (body, { inputs }) => markedAnswer(body, inputs.context),
  hub: {
    method: 'question_answering',
    takes: ['align_to_words', 'doc_stride', 'handle_impossible_answer', 'max_answer_len', 'max_question_len', 'max_seq_len', 'top_k'],
    given: ({ question, context }) => [question, context],
  },
};
