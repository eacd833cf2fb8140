"""Text, series, speech and synthetic sets: parsed right, split stably, written as CTF; the cart obeys its equations."""

import io
import wave
import zipfile

import numpy as np
import pytest

from cntk_lab.datasets import (
    _series,
    _speech,
    _text,
    cartpole,
    cmudict,
    flight_queries,
    japanese_vowels,
    sine,
    solar,
    speech_prompts,
    stocks,
    two_gaussians,
    wordnet_glosses,
)
from cntk_lab.datasets._cartpole import _moved
from cntk_lab.errors import AttributeValueError, FormatError, SequenceError


def serve(monkeypatch, module, **files):
    content = {
        name.replace("__", "."): text if isinstance(text, bytes) else text.encode() for name, text in files.items()
    }
    monkeypatch.setattr(module, "fetch", lambda *_: content)


def test_cmudict_lines(monkeypatch, tmp_path):
    serve(monkeypatch, _text, cmudict__dict="a AH0\na(2) EY1\naalen AE1 L AH0 N # place, german\n")
    loaded = cmudict()
    assert loaded.words == ("a", "a", "aalen")
    assert loaded.phonemes[1:] == (("EY1",), ("AE1", "L", "AH0", "N"))
    assert loaded.letters == ("<s>", "</s>", "a", "e", "l", "n")
    assert loaded.symbols == ("<s>", "</s>", "AE1", "AH0", "EY1", "L", "N")
    lines = loaded.to_ctf(tmp_path / "cmu.txt").read_text().splitlines()
    assert lines[:3] == ["0 |S0 0:1 |# a |S1 0:1 |# AH0", "0 |S0 2:1 |S1 3:1", "0 |S0 1:1 |S1 1:1"]


def test_all_pronunciations_of_a_word_are_in_one_half(monkeypatch):
    text = "".join(f"{w}{v} AH0\n" for w in ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op") for v in ("", "(2)"))
    serve(monkeypatch, _text, cmudict__dict=text)
    loaded = cmudict()
    train, test = set(loaded.train.words), set(loaded.test.words)
    assert not train & test
    assert train | test == set(loaded.words)
    assert len(loaded.train) + len(loaded.test) == len(loaded)


def test_wordnet_takes_the_first_sense_and_drops_examples(monkeypatch):
    noun = (
        '  1 licence text\n00001740 03 n 02 Dog 0 big_dog 0 001 @ 00000002 n 0000 | a pet; barks; "the dog barked"  \n'
    )
    noun += "00001741 03 n 01 dog 1 000 | a bad person\n"
    adj = "00001742 00 s 01 galore(ip) 0 000 | in great numbers\n"
    serve(monkeypatch, _text, data__noun=noun, data__verb="", data__adj=adj, data__adv="")
    loaded = wordnet_glosses()
    assert loaded.words == ("dog", "big_dog", "galore")
    assert loaded.kinds == ("noun", "noun", "adj")
    assert loaded.glosses == ("a pet; barks", "a pet; barks", "in great numbers")


def test_solar_columns(monkeypatch):
    header = "ETR (W/m^2),GHI (W/m^2),Dry-bulb (C),TotCld (tenths)"
    serve(monkeypatch, _series, **{"723170TYA__CSV": f"723170,STATION\n{header}\n10,5,-1.5,7\n20,9,2,0\n"})
    year = solar()
    assert year.hour.tolist() == [1, 2]
    assert year.irradiance.tolist() == [5, 9]
    assert year.clear_sky.tolist() == [10, 20]
    assert year.temperature.tolist() == [-1.5, 2]
    assert year.clouds.tolist() == [7, 0]


def test_stocks_by_ticker(monkeypatch):
    rows = "IBM,2000-03-01,1,4,0.5,2,100,1.5\nAAPL,2000-03-01,10,11,9,10,7,1\nIBM,2000-03-02,2,3,1,2.5,50,1.75\n"
    serve(monkeypatch, _series, stocks__csv="Ticker,Date,Open,High,Low,Close,Volume,Adj Close\n" + rows)
    loaded = stocks()
    assert list(loaded) == ["AAPL", "IBM"]
    assert loaded["IBM"].close.tolist() == [2, 2.5]
    assert loaded["IBM"].adjusted.tolist() == [1.5, 1.75]
    assert loaded["IBM"].volume.tolist() == [100, 50]
    assert str(loaded["IBM"].date[1]) == "2000-03-02"


def test_vowels_are_frames_by_dimensions(monkeypatch, tmp_path):
    text = "@classLabel true 1 2\n@data\n1,2,3:4,5,6.5:2\n7:8:1\n"
    serve(monkeypatch, _series, JapaneseVowels_TRAIN__ts=text, JapaneseVowels_TEST__ts=text)
    train = japanese_vowels().train
    assert train.sequences[0].tolist() == [[1, 4], [2, 5], [3, 6.5]]
    assert train.labels.tolist() == [1, 0]
    assert train.one_hot().tolist() == [[0, 1], [1, 0]]
    assert train.to_ctf(tmp_path / "v.txt").read_text() == (
        "0 |features 1 4 |labels 1:1\n0 |features 2 5\n0 |features 3 6.5\n1 |features 7 8 |labels 0:1\n"
    )


def make_wave(values, rate=8000):
    out = io.BytesIO()
    with wave.open(out, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes(np.array(values, "<i2").tobytes())
    return out.getvalue()


def test_prompts_have_waves_and_words(monkeypatch):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name in ("digits/hello", "beep", "two", "unknown"):
            target.writestr(name + ".wav", make_wave([0, 16384, -32768]))
    texts = "; Core sounds\ndigits/hello: It's Me.  [again] (laughs)\nbeep: (a tone)\ntwo: 2\n"
    serve(monkeypatch, _speech, sounds__zip=out.getvalue(), **{"core-sounds-en__txt": texts})
    prompts = speech_prompts()
    assert prompts.names == ("digits/hello",)
    assert prompts.texts == ("it's me",)
    assert prompts.waves[0].tolist() == [0, 0.5, -1]
    assert prompts.rate == 8000


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"RIFF", "a.wav: no PCM WAV file"), (make_wave([1], 44100), "a.wav: 1 channels, 16 bits, 44100 Hz")],
)
def test_other_sounds_are_refused(content, words):
    with pytest.raises(FormatError, match=words):
        _speech.wave_array(content, "a.wav")


def test_the_cart_moves_as_gymnasium_s():
    # numbers printed by gymnasium 1.4.0, CartPole-v1, from the same state with actions 1, 1, 0, 1
    state = np.array([0.01, -0.02, 0.03, 0.04])
    states = []
    for force in (10, 10, -10, 10):
        state = _moved(state, force)
        states.append(state.round(7).tolist())
    assert states == [
        [0.0096, 0.1746792, 0.0308, -0.2430687],
        [0.0130936, 0.369348, 0.0259386, -0.5258796],
        [0.0204805, 0.1738708, 0.015421, -0.2251374],
        [0.023958, 0.368769, 0.0109183, -0.5129163],
    ]


def test_pushing_one_way_ends_the_episode_and_then_nothing_moves():
    cart = cartpole(seed=3)
    cart.reset()
    steps = [cart.step(1)]
    while not steps[-1].done:
        steps.append(cart.step(1))
    assert steps[-1].fell
    assert not steps[-1].ended
    assert len(steps) < 20
    with pytest.raises(SequenceError, match=f"the episode is over after {len(steps)} steps"):
        cart.step(0)


def test_an_episode_has_at_most_500_steps():
    cart = cartpole(seed=0)
    state = cart.reset()
    count, step = 0, None
    while step is None or not step.done:
        step = cart.step(int(3 * state[2] + state[3] > 0))  # push below the falling pole
        count, state = count + 1, step.state
    assert (count, step.ended, step.fell) == (500, True, False)


def test_a_cart_knows_two_actions():
    cart = cartpole()
    cart.reset()
    with pytest.raises(AttributeValueError, match="step: action 2"):
        cart.step(2)


def test_same_seed_same_data():
    assert two_gaussians(5, seed=1).features.tolist() == two_gaussians(5, seed=1).features.tolist()
    assert flight_queries(5, seed=1).words == flight_queries(5, seed=1).words
    assert flight_queries(5, seed=1).words != flight_queries(5, seed=2).words
    assert sine(5, noise=1, seed=1).tolist() == sine(5, noise=1, seed=1).tolist()


def test_clouds_lie_around_multiples_of_three():
    points = two_gaussians(4000, classes=3, seed=0)
    for label in range(3):
        cloud = points.features[points.labels == label]
        assert np.allclose(cloud.mean(0), 3 * (label + 1), atol=0.3)  # about 1300 points, spread up to 3: error 0.08
        assert np.allclose(cloud.std(0), label + 1, atol=0.2)
    assert points.one_hot().sum(1).tolist() == [1] * 4000


def test_queries_have_a_tag_per_word_and_a_closed_vocabulary(tmp_path):
    queries = flight_queries(500, seed=4)
    for words, tags in zip(queries.words, queries.tags, strict=True):
        assert len(words) == len(tags)
        assert set(words) <= set(queries.vocabulary)
        assert set(tags) <= set(queries.tag_names)
        assert tags.count("B-fromloc.city_name") == tags.count("B-toloc.city_name") == 1
    assert {t for tags in queries.tags for t in tags} == set(queries.tag_names) - {
        "I-depart_date.day_name",
        "I-depart_time.period",
    }
    lines = queries.to_ctf(tmp_path / "q.txt").read_text().splitlines()
    assert len(lines) == sum(map(len, queries.words))
    assert lines[0] == "0 |S0 1:1 |S2 0:1"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: two_gaussians(0), "two_gaussians: 0 samples, 2 dimensions, 2 classes"),
        (lambda: flight_queries(0), "flight_queries: 0 samples"),
        (lambda: sine(-1), "sine: -1 samples asked for"),
    ],
)
def test_counts_that_make_no_sense(call, words):
    with pytest.raises(AttributeValueError) as caught:
        call()
    assert caught.value.what == words
