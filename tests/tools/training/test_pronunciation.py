"""The training data of `pronunciation`, and how its errors are counted."""

from tools.training import pronunciation

LINES = "read R IY1 D\nread(2) R EH1 D # the past\no'er AO1 R # archaic\n3d TH R IY1 D IY2\n"


def test_words_have_all_their_pronunciations_and_only_letters() -> None:
    assert pronunciation.parse(LINES) == {
        "read": [("R", "IY1", "D"), ("R", "EH1", "D")],
        "o'er": [("AO1", "R")],
    }


def test_words_are_held_out() -> None:
    dictionary = {f"word{'ab'[index % 2] * (index + 1)}": [("W",)] for index in range(pronunciation.HELD_OUT + 50)}
    train, test = pronunciation.split(dictionary)
    assert len(train) == 50
    assert not train.keys() & test.keys()


def test_the_nearest_pronunciation_counts() -> None:
    right = [[("R", "IY1", "D"), ("R", "EH1", "D")], [("K", "AE1", "T")]]
    assert pronunciation.compare([("R", "EH1", "D"), ("K", "AE1", "T", "S")], right) == (0.5, 1 / 6)
    assert pronunciation.without_stress(("K", "AE1", "T")) == ("K", "AE", "T")
