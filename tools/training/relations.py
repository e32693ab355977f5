"""The kinds of fact that generated passages state and ask about, with the wordings of both."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """One kind of fact: what its value is drawn from, ways to state it of {n} with the value {v}, ways to ask.

    The last question is the one held out. Statements that begin with {n}, or have it after a comma, can take a pronoun.
    """

    values: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]


RELATIONS = {
    "birthplace": Relation(
        "cities",
        ("{n} was born in {v}.", "{n} is a native of {v}.", "{n} comes from {v}.", "The birthplace of {n} is {v}."),
        ("Where was {n} born?", "What is the birthplace of {n}?", "In which city was {n} born?", "Where is {n} from?"),
    ),
    "birth year": Relation(
        "years",
        ("{n} was born in the year {v}.", "In {v}, {n} was born.", "{n} was born in {v}."),
        (
            "When was {n} born?",
            "In which year was {n} born?",
            "What is the birth year of {n}?",
            "What year was {n} born?",
        ),
    ),
    "job": Relation(
        "jobs",
        ("{n} works as a {v}.", "{n} is a well-known {v}.", "{n} is a {v} by trade.", "{n} has long been a {v}."),
        (
            "What is the profession of {n}?",
            "What is {n}'s job?",
            "What does {n} do for a living?",
            "What does {n} work as?",
        ),
    ),
    "home": Relation(
        "cities",
        ("{n} lives in {v}.", "{n} now resides in {v}.", "Today {n} lives in {v}.", "The home of {n} is in {v}."),
        ("Where does {n} live?", "In which city does {n} live?", "Where is the home of {n}?", "Where does {n} reside?"),
    ),
    "journey": Relation(
        "cities",
        ("Last summer {n} travelled to {v}.", "{n} visited {v} with a friend.", "{n} spent a week in {v}."),
        (
            "Where did {n} travel?",
            "Which place did {n} visit?",
            "Which city did {n} visit?",
            "Where did {n} travel to?",
        ),
    ),
    "purchase": Relation(
        "things",
        ("{n} bought {v}.", "Yesterday {n} purchased {v}.", "In May, {n} bought {v} at a market."),
        ("What did {n} buy?", "What was bought by {n}?", "What has {n} bought?", "What did {n} purchase?"),
    ),
    "instrument": Relation(
        "instruments",
        ("{n} plays the {v}.", "In the evening, {n} practises the {v}.", "{n} learned to play the {v} as a child."),
        (
            "Which instrument does {n} play?",
            "What does {n} play?",
            "What is the instrument of {n}?",
            "What instrument does {n} play?",
        ),
    ),
    "subject": Relation(
        "subjects",
        ("{n} studied {v}.", "{n} has a degree in {v}.", "At university, {n} studied {v}."),
        (
            "What did {n} study?",
            "Which subject did {n} study?",
            "In what does {n} have a degree?",
            "What has {n} studied?",
        ),
    ),
    "language": Relation(
        "languages",
        ("{n} speaks {v}.", "{n} is fluent in {v}.", "At home, {n} speaks {v}."),
        (
            "Which language does {n} speak?",
            "What language is spoken by {n}?",
            "In which language is {n} fluent?",
            "What language does {n} speak?",
        ),
    ),
    "spouse": Relation(
        "people",
        ("{n} is married to {v}.", "{n} married {v}.", "The spouse of {n} is {v}."),
        ("Who is {n} married to?", "Who is the spouse of {n}?", "Whom did {n} marry?", "Who did {n} marry?"),
    ),
}
