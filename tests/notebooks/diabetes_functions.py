"""Progression of diabetes after a year."""

import argparse
import os

import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split

DATA_DIR = os.path.join("data", "clinic")
SEED = 11


def load_data(name="diabetes.csv"):
    return pd.read_csv(os.path.join(DATA_DIR, name))


def add_features(df):
    df = df.copy()
    df["bmi_by_age"] = df["bmi"] * df["age"]
    return df


def split(df):
    X = df.drop(columns=["progression", "patient"])
    y = df["progression"]
    return train_test_split(X, y, test_size=0.2, random_state=SEED)


def train(X, y, learning_rate=0.05):
    model = HistGradientBoostingRegressor(max_iter=120, learning_rate=learning_rate, random_state=SEED)
    model.fit(X, y)
    return model


def main():
    df = add_features(load_data())
    X_train, X_test, y_train, y_test = split(df)
    model = train(X_train, y_train)
    pred = model.predict(X_test)
    print("R2", r2_score(y_test, pred))
    print("MAE", mean_absolute_error(y_test, pred))


if __name__ == "__main__":
    main()
